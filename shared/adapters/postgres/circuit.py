"""Says no at once while Postgres is known not to answer, so that callers do not queue behind time-outs."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Circuit:
    """Open after a time-out; then one caller at a time probes, until one of them is answered."""

    def __init__(self, retry_seconds: float, monotonic: Callable[[], float]) -> None:
        """Begin closed. While open, a probe is let through every `retry_seconds`."""
        self._retry_seconds = retry_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._probe_at: float | None = None

    def admits(self) -> bool:
        """Whether a call may try now. While open, whoever is told yes is the probe."""
        with self._lock:
            if self._probe_at is None:
                return True
            now = self._monotonic()
            due = now >= self._probe_at
            if due:
                self._probe_at = now + self._retry_seconds
            return due

    def timed_out(self) -> None:
        """A call was not answered in time."""
        with self._lock:
            self._probe_at = self._monotonic() + self._retry_seconds

    def answered(self) -> None:
        """A call was answered."""
        with self._lock:
            self._probe_at = None
