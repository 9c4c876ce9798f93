"""When this process last did something, and since when it has been doing what it does now."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class Pulse:
    """Shared by the thread that runs tasks and the one that watches it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` is a clock in seconds that never goes back. Starting counts as doing something."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._task_began: float | None = None
        self._task_heard = self._sweep_heard = monotonic()

    @contextlib.contextmanager
    def task(self, *, periodic: bool) -> Iterator[None]:
        """A task that came through the broker runs within the block."""
        with self._lock:
            self._task_began = self._monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._task_began = None
                self._task_heard = self._monotonic()
                if periodic:
                    self._sweep_heard = self._task_heard

    def seconds_running(self) -> float:
        """How long the present task has been running; 0 if none is."""
        with self._lock:
            return 0.0 if self._task_began is None else self._monotonic() - self._task_began

    def seconds_without_task(self) -> float:
        """How long ago the last task ended; 0 while one runs."""
        with self._lock:
            return 0.0 if self._task_began is not None else self._monotonic() - self._task_heard

    def seconds_without_periodic(self) -> float:
        """How long ago the last periodic task ended, whatever runs now."""
        with self._lock:
            return self._monotonic() - self._sweep_heard
