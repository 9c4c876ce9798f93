"""One process that the runner keeps alive: what it is, and the life of one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_BYTES = 2_000


def _always_answers() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A process the runner keeps alive.

    `answers` says whether it serves by now; it must come back within a few seconds. `launch_options`
    are the launcher's own (how PostgreSQL stops being root). `stop_signal` asks it to finish,
    `hurry_signal` to stop at once; after `stop_seconds` it is killed.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log_path: Path
    answers: Callable[[], bool] = field(default=_always_answers)
    launch_options: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    stop_seconds: int = 10


class Child:
    """A started process, in a process group of its own and in the runner's session.

    The group keeps a Ctrl-C in the terminal from reaching the child directly, so that the runner
    decides the order in which things stop; and it lets the whole of a broken child be cleared away.
    """

    def __init__(self, spec: ChildSpec, started_at: float, output: IO[bytes] | None = None) -> None:
        self.spec = spec
        self.started_at = started_at
        with _open_log(spec.log_path) as log:
            self._process = subprocess.Popen(
                launch_argv(spec.argv, death_signal=spec.stop_signal, options=spec.launch_options),
                env=dict(spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=output or log,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; then its exit code, negative for the signal that ended it.

        When it is first seen to have ended, what is left of its group is killed: a server's own
        children must not outlive it, holding its port.
        """
        if self._process.returncode is None and self._process.poll() is not None:
            self._signal_group(signal.SIGKILL)
        return self._process.returncode

    def ask_to_stop(self) -> None:
        """Ask it to finish what it is doing and end."""
        self._signal(self.spec.stop_signal)

    def hurry(self) -> None:
        """Have it stop at once; what it serves from disk survives that."""
        self._signal(self.spec.hurry_signal)

    def kill(self) -> None:
        """End it and its group without asking."""
        if self._process.returncode is None:
            self._signal_group(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # Nobody is left in the group, or only the ended process itself.
            return


def launch_argv(
    argv: tuple[str, ...], *, death_signal: signal.Signals, options: tuple[str, ...] = ()
) -> list[str]:
    """The command that becomes `argv` by way of the launcher, tied to this process's life."""
    return [
        sys.executable,
        "-I",
        "-S",
        str(LAUNCHER),
        f"--parent={os.getpid()}",
        f"--death-signal={death_signal.value}",
        *options,
        "--",
        *argv,
    ]


def log_tail(path: Path) -> str:
    """The last lines of a log, for a message about what went wrong."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def trim_log(path: Path) -> None:
    """Set a log aside that has grown large, replacing the last one set aside, and go on with an empty one.

    Safe while a child writes: it appends, so it goes on at the new end. What it writes between the
    copy and the cut is lost.
    """
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        shutil.copy2(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def _open_log(path: Path) -> IO[bytes]:
    """Open a log for appending, the owner's alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return os.fdopen(descriptor, "ab")
