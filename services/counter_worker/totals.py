"""What this process has done since it last said so. The names are those of rows in `worker_total`."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping

EVENTS_APPLIED = "events_applied"
#: Attempts, not events: one event can fail several times before it is applied or dead.
EVENTS_FAILED = "events_failed"
COUNTERS_PROJECTED = "counters_projected"
PROJECTIONS_FAILED = "projections_failed"
HOLDS_EXPIRED = "holds_expired"
DRIFT_COMPARED = "drift_compared"
DRIFT_FOUND = "drift_found"
PERIODS_CLOSED = "periods_closed"
PERIODS_AMENDED = "periods_amended"
STANDBY_SWEEPS = "standby_sweeps"


class Totals:
    """Counts to be added to the database's with the next sweep. Safe to share between threads."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Count `count` more of something; nothing for zero."""
        if count:
            with self._lock:
                self._counts[name] += count

    @contextlib.contextmanager
    def taken(self) -> Iterator[Mapping[str, int]]:
        """The counts so far, which start again from zero unless the block fails."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        try:
            yield dict(counts)
        except BaseException:
            with self._lock:
                self._counts.update(counts)
            raise
