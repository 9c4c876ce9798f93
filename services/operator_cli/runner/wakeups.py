"""How the runner waits: for a signal, or for some time to pass."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Iterator
from typing import Protocol

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READ_BYTES = 256


class Wakeups(Protocol):
    """Waits, and counts the requests to stop that came meanwhile."""

    def wait(self, seconds: float) -> int:
        """Sleep until a signal arrives or `seconds` have passed; how many asked to stop meanwhile."""
        ...


class SignalWakeups:
    """Wakes at once for the end of a child and for a request to stop.

    The interpreter's own handler writes each signal's number to a socket, so nothing runs in the
    middle of anything else and no signal is lost between two looks.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    @contextlib.contextmanager
    def listening(self) -> Iterator[SignalWakeups]:
        """Take over the signals for as long as the block lasts.

        A stop signal is heard even if whoever started us had it ignored (as shells do for background
        jobs), save for a hang-up, which `nohup` ignores on purpose.
        """
        taken = [number for number in STOP_SIGNALS if not _is_ignored_hangup(number)]
        before = {number: signal.signal(number, _do_nothing) for number in (*taken, signal.SIGCHLD)}
        descriptor_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            yield self
        finally:
            signal.set_wakeup_fd(descriptor_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._reader.close()
            self._writer.close()

    def wait(self, seconds: float) -> int:
        """See Wakeups."""
        readable, _, _ = select.select([self._reader], [], [], max(0.0, seconds))
        if not readable:
            return 0
        numbers = self._reader.recv(_READ_BYTES)
        return sum(1 for number in numbers if number in STOP_SIGNALS)


def _is_ignored_hangup(number: signal.Signals) -> bool:
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _do_nothing(_number: int, _frame: object) -> None:
    """Only there so that the signal neither ends us nor is dropped; the wake-up socket carries it."""
