"""`needlecap load`: visits from a file, and the sample members."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from services.operator_cli.api_client import ApiClient
from services.operator_cli.options import with_settings
from services.operator_cli.samples import VISITS_PATH, load_members
from services.operator_cli.settings import Settings
from services.operator_cli.visit_loading import LoadReport, Reject, load_visits

REJECTS_SHOWN_MAX = 1_000


@click.group("load")
def load_group() -> None:
    """Send data to the running service."""


@load_group.command("visits")
@click.argument("file", type=click.File("rb"))
@with_settings
def visits_command(*, settings: Settings, file: BinaryIO) -> None:
    """Send the visit events of FILE (NDJSON, one a line; - is standard input).

    Safe to send again, whole or in part: what the service has already is not counted twice. Lines it
    refuses are said by number, and the exit code is then 1.
    """
    client = ApiClient(settings.api_url, settings.key)
    client.require_answer()
    report = _send_visits(client, file)
    if report.rejected:
        raise click.exceptions.Exit(1)


@load_group.command("samples")
@with_settings
def samples_command(*, settings: Settings) -> None:
    """Load the sample members (SAMPLE-...), their plans and their year of visits.

    Safe to run again.
    """
    client = ApiClient(settings.api_url, settings.key)
    client.require_answer()
    plans, members = load_members(client)
    click.echo(f"sample members: {members} in {plans} plans")
    with VISITS_PATH.open("rb") as file:
        report = _send_visits(client, file)
    if report.rejected:
        raise click.exceptions.Exit(1)


def _send_visits(client: ApiClient, file: BinaryIO) -> LoadReport:
    console = Console(stderr=True)
    rejects = 0

    def on_reject(reject: Reject) -> None:
        nonlocal rejects
        rejects += 1
        if rejects <= REJECTS_SHOWN_MAX:
            # Not by click, which would tear the progress bar.
            console.print(f"line {reject.line}: {reject.why}", markup=False, highlight=False, soft_wrap=True)

    with _progress(file, console) as (watched, bar):

        def on_progress(so_far: LoadReport) -> None:
            bar.update(bar.task_ids[0], description=_in_words(so_far))

        report = load_visits(watched, client, on_reject=on_reject, on_progress=on_progress)
    if rejects > REJECTS_SHOWN_MAX:
        click.echo(f"... and {rejects - REJECTS_SHOWN_MAX} more", err=True)
    click.echo(f"visit events: {_in_words(report)}")
    return report


@contextlib.contextmanager
def _progress(file: BinaryIO, console: Console) -> Iterator[tuple[IO[bytes], Progress]]:
    """The file, watched by a bar that only a terminal shows; of a pipe only the counts are shown."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        size = _size(file)
        task = bar.add_task("visit events", total=size)
        yield (file if size is None else bar.wrap_file(file, task_id=task)), bar


def _size(file: BinaryIO) -> int | None:
    if not file.seekable():
        return None
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    return end - here


def _in_words(report: LoadReport) -> str:
    return f"{report.accepted} accepted, {report.replayed} known before, {report.rejected} refused"


COMMANDS = (load_group,)
