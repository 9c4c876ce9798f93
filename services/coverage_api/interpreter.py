"""Python's interpreter, which one thread has at a time, and the processor that it runs on."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from types import TracebackType

#: A thread keeps the interpreter for so long, at most, while another waits for it; usually for 5 ms.
HANDED_ON_AFTER_SECONDS = 0.001


def wake_without_interrupting() -> None:
    """Have this thread, and those that it will begin, wait for the processor when they wake up.

    Usually a thread that wakes up may take the processor from the one at work. Here that one mostly has the
    interpreter, for which the woken thread would only wait: both would be interrupted for nothing. Batch
    threads interrupt nobody (sched(7), SCHED_BATCH). Where the system has no such policy, or does not allow
    it, or whoever started the process chose another one, nothing changes.
    """
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class HandedOnSooner:
    """While any thread is within `with`, threads that wait for the interpreter get it sooner.

    A thread that has no end of work, as one that reads a stream, gives it up only when asked to. How soon it
    is asked holds for all threads of the process. Shared by threads.
    """

    def __init__(self, seconds: float = HANDED_ON_AFTER_SECONDS) -> None:
        """`seconds` is for how long a thread keeps the interpreter while another waits for it, at most."""
        self._seconds = seconds
        self._usual = sys.getswitchinterval()
        self._within = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """From the first on it is handed on sooner."""
        with self._lock:
            self._within += 1
            if self._within == 1:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(self._seconds)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """After the last it is as it was."""
        with self._lock:
            self._within -= 1
            if not self._within:
                sys.setswitchinterval(self._usual)
