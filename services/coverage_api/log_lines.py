"""Log lines of many threads, written by one: a line costs the thread that serves a call no system call.

Each write would let another thread take the interpreter, and the call wait for it to come back.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

#: Lines that come within this time are written together. No more than these are lost in a crash.
GATHER_SECONDS = 0.02

#: With so many lines waiting, whoever logs writes them, so that memory stays bounded.
WAITING_MAX = 10_000


class LogLines:
    """Takes whole lines as a binary file would. Shared by threads; lines stay in the order they came."""

    def __init__(self, out: BinaryIO, *, gather_seconds: float = GATHER_SECONDS) -> None:
        """Write to `out`. The thread starts with the first line and does nothing while none comes."""
        self._out = out
        self._gather_seconds = gather_seconds
        self._waiting: deque[bytes | Callable[[], bytes]] = deque()
        self._writing = threading.Lock()
        self._there_is_work = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> int:
        """Take a line, to be written in a moment."""
        self._take(line)
        return len(line)

    def write_later(self, make: Callable[[], bytes]) -> None:
        """Take what makes a line, which is done when it is written; it must not fail."""
        self._take(make)

    def _take(self, line: bytes | Callable[[], bytes]) -> None:
        self._waiting.append(line)
        if len(self._waiting) > WAITING_MAX:
            self.close()
        elif not self._there_is_work.is_set():
            self._wake()

    def flush(self) -> None:
        """Leave it to the thread: whoever logs asks for this after each line."""

    def close(self) -> None:
        """Write what waits now. Lines may still come afterwards.

        Where they cannot be written (a full disk, a reader that is gone) they are lost: no call fails
        for its log line, and later ones are tried again.
        """
        with self._writing:
            count = len(self._waiting)
            waiting = [self._waiting.popleft() for _ in range(count)]
            lines = b"".join([line if isinstance(line, bytes) else line() for line in waiting])
            if not self._out.closed:
                with contextlib.suppress(OSError):
                    self._out.write(lines)
                    self._out.flush()

    def _wake(self) -> None:
        with self._writing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_on, name="log-lines", daemon=True)
                self._thread.start()
        self._there_is_work.set()

    def _write_on(self) -> None:
        while True:
            self._there_is_work.wait()
            time.sleep(self._gather_seconds)
            # Before the lines are taken: one that comes meanwhile wakes the thread again.
            self._there_is_work.clear()
            self.close()
