"""Runs a command of the benchmark's own to its end, on given cores."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence

from deploy.benchmarks.cores import pinned


class CommandFailed(Exception):
    """A command ended with an error; the message is the end of what it said."""


def output_of(
    argv: Sequence[str],
    cores: Iterable[int],
    *,
    seconds_max: float,
    given: str = "",
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a command prints that reads `given`. Raises CommandFailed, and TimeoutExpired."""
    done = subprocess.run(  # noqa: S603 - the benchmark's own commands, without a shell
        pinned(argv, cores),
        input=given,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=seconds_max,
    )
    if done.returncode != 0:
        raise CommandFailed(done.stderr[-2000:])
    return done.stdout
