"""Metrics of the API. Labels are methods, route templates, statuses: never anything about a person."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from services.coverage_api.ports import Store
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.domain.standing import EventCounts
from shared.messages import SWEEP

SECONDS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

#: Counts of the whole inbox are read at most this often, however often somebody scrapes.
STANDING_SECONDS = 5.0


class Metrics:
    """The counters of one process, and what a scrape is answered with."""

    def __init__(self, multiprocess_dir: Path | None) -> None:
        """With `multiprocess_dir`, a scrape adds up all processes that share the directory."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types only a part
        self.registry = CollectorRegistry()
        self._multiprocess_dir = multiprocess_dir
        self.calls = Counter(
            "needlecap_http_requests",
            "Calls answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "needlecap_http_request_seconds",
            "Time from the first byte of a call to its answer.",
            ["route"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.wake_up_failures = Counter(
            "needlecap_wake_up_failures", "Wake-ups that could not be sent.", registry=self.registry
        )
        self.counters_unavailable = Counter(
            "needlecap_counters_unavailable",
            "Times that Redis could not answer for counters and Postgres did.",
            registry=self.registry,
        )
        self._extra: list[Collector] = []
        # The library looks a label's counter up by a tuple of texts that it makes each time. There are as
        # many as routes, methods and statuses, none of which a caller makes up.
        self._of_calls: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a call that was answered so many seconds after it began."""
        known = self._of_calls.get((method, route, status))
        if known is None:
            known = (self.calls.labels(method, route, status), self.seconds.labels(route))
            self._of_calls[method, route, status] = known
        calls, times = known
        calls.inc()
        times.observe(seconds)

    def add(self, collector: Collector) -> None:
        """Show what `collector` reads at the time of a scrape."""
        self._extra.append(collector)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        shown = CollectorRegistry()
        if self._multiprocess_dir is not None:
            path = str(self._multiprocess_dir)
            MultiProcessCollector(shown, path)  # type: ignore[no-untyped-call]  # the library types only a part
            rest = generate_latest(shown)
        else:
            rest = generate_latest(self.registry)
        extra = CollectorRegistry()
        for collector in self._extra:
            extra.register(collector)
        return rest + generate_latest(extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What a scrape shows of the whole installation. `since_sweep` is in seconds."""

    counts: EventCounts
    totals: Mapping[str, int]
    since_sweep: float | None


class StandingCollector(Collector):
    """Counts of visit events over all payers (I7) and of what the workers did, read from Postgres."""

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        """Read from `store`; `monotonic` is a clock in seconds that never goes back."""
        self._store = store
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._standing: _Standing | None = None

    def collect(self) -> Iterable[Metric]:
        """Nothing but names while Postgres cannot say, since unknown is not zero (I11)."""
        events = GaugeMetricFamily(
            "needlecap_visit_events",
            "Visit events by what became of them; received is the sum of the others.",
            labels=["status"],
        )
        complete = GaugeMetricFamily(
            "needlecap_visit_events_complete", "1 while received is the sum of the others, else 0."
        )
        discarded = GaugeMetricFamily("needlecap_dead_letters_discarded", "Dead events given up for good.")
        done = CounterMetricFamily("needlecap_worker", "What all workers together did.", labels=["done"])
        since = GaugeMetricFamily(
            "needlecap_seconds_since_sweep", "Time since a worker last came to the end of a sweep."
        )
        standing = self._current()
        if standing is not None:
            counts = standing.counts
            for status in ("received", "applied", "rejected", "dead", "pending"):
                events.add_metric([status], getattr(counts, status))
            complete.add_metric([], int(counts.is_complete))
            discarded.add_metric([], counts.discarded)
            for name, total in sorted(({"drift_compared": 0, "drift_found": 0, **standing.totals}).items()):
                done.add_metric([name], total)
            if standing.since_sweep is not None:
                since.add_metric([], standing.since_sweep)
        return [events, complete, discarded, done, since]

    def _current(self) -> _Standing | None:
        with self._lock:
            now = self._monotonic()
            if self._read_at is None or now - self._read_at >= STANDING_SECONDS:
                self._read_at = now
                self._standing = self._read()
            return self._standing

    def _read(self) -> _Standing | None:
        try:
            with self._store.transaction(EVERY_PAYER) as tx:
                by_payer = tx.standing.event_counts()
                totals, since_sweep = tx.jobs.totals(), tx.jobs.seconds_since(SWEEP)
        except StoreUnavailable:
            return None
        total = EventCounts()
        for counts in by_payer.values():
            total = total.plus(counts)
        return _Standing(counts=total, totals=dict(totals), since_sweep=since_sweep)
