"""Processes of an earlier runner on the same data directory that did not end with it.

Normally none are left, even after `kill -9`: a runner's children are told of its death. What is left
nevertheless is recognised by a mark in its environment, which names the installation and the
directory, so neither a reused process id nor a copy of the directory leads to the wrong process.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

MARK = "NEEDLECAP_RUNNER"
STOP_SECONDS_MAX = 15.0
KILL_SECONDS_MAX = 5.0
LOOK_SECONDS = 0.05
SERVER_NAMES = ("postgres", "valkey-server")


def mark_of(installation_id: str, data_dir: Path) -> str:
    """The value of MARK in the environment of every process started for this data directory."""
    return f"{installation_id}:{data_dir.resolve()}"


def stop_leftovers(
    mark: str, server_dirs: Sequence[Path], *, patience_seconds: float = STOP_SECONDS_MAX
) -> list[str]:
    """Stop what an earlier runner left; what was stopped, as "name (pid N)".

    `server_dirs` are where the embedded servers work: they write their titles over their environment,
    mark included, but keep to their directories.
    """
    places = {str(directory.resolve()) for directory in server_dirs}
    found = [process for process in psutil.process_iter() if _is_ours(process, mark, places)]
    names = [f"{_name(process)} (pid {process.pid})" for process in found]
    for process in found:
        _end(process, force=False)
    stubborn = _await_ends(found, patience_seconds)
    for process in stubborn:
        _end(process, force=True)
    _await_ends(stubborn, KILL_SECONDS_MAX)
    return names


def _is_ours(process: psutil.Process, mark: str, places: Collection[str]) -> bool:
    try:
        if not _is_alive(process):
            return False
        if process.environ().get(MARK) == mark:
            return True
        return process.name() in SERVER_NAMES and process.cwd() in places
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        # Gone meanwhile, or another account's, which this account could not have started.
        return False


def _is_alive(process: psutil.Process) -> bool:
    """Whether a process still does anything; a dead one that nobody has waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _await_ends(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for processes to end; those that did not."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if _is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        alive = [process for process in alive if _is_alive(process)]
    return alive


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "process"


def _end(process: psutil.Process, *, force: bool) -> None:
    """Ask a process to end: PostgreSQL's server as for a fast shutdown, everything else as usual."""
    try:
        if force:
            process.kill()
        elif process.name() == "postgres":
            process.send_signal(signal.SIGINT)
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return
