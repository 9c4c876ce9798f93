"""The two cores of the benchmark, and which process may use which."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PINNED = Path(__file__).with_name("pinned.py")


class TooFewCores(Exception):
    """The benchmark keeps the API and its callers on cores of their own, so it needs two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """`served` is for the process under test alone, `other` for whatever calls or serves it."""

    served: int
    other: int

    @property
    def both(self) -> tuple[int, int]:
        """Both of them."""
        return self.served, self.other


def two_cores() -> Cores:
    """The first two that this process may use; it keeps to the second one from here on.

    Raises TooFewCores.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise TooFewCores("The benchmark needs two cores.")
    cores = Cores(served=usable[0], other=usable[1])
    os.sched_setaffinity(0, {cores.other})
    return cores


def pinned(argv: Sequence[str], cores: Iterable[int]) -> tuple[str, ...]:
    """The command that becomes `argv` on these cores."""
    return (sys.executable, str(PINNED), ",".join(str(core) for core in cores), *argv)


def move(pid: int, cores: Iterable[int]) -> None:
    """Keep a running process, its threads and its children, on these cores."""
    wanted = set(cores)
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            for thread in process.threads():
                os.sched_setaffinity(thread.id, wanted)
        except (psutil.NoSuchProcess, ProcessLookupError):
            # It ended while we looked; so it needs no core.
            continue
