"""Progress bars: shown on a terminal, beside the summary that scripts read from standard output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Adds to what is done.
Advance = Callable[[int], None]


@contextlib.contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Advance]:
    """A bar over `total` things (None: not known), gone when it is done; nothing where no terminal is."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)

        def advance(done: int) -> None:
            progress.advance(task, done)

        yield advance
