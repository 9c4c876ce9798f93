"""What the worker's use cases need from the world, beyond what they share with the API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from services.counter_worker.totals import Totals
from shared.accounting.period_turn import PeriodReports
from shared.accounting.plain_lane import PlainTurns
from shared.domain.records import CounterImage, MemberRef
from shared.ports import Clock, DisposableCounters, RulesSource, Transaction


class Outbox(Protocol):
    """The queue of counters to project."""

    def waiting(self, seconds: float, limit: int) -> list[MemberRef]:
        """Members queued at least `seconds` ago, longest first, at most `limit`."""
        ...

    def images(self, refs: Sequence[MemberRef]) -> list[CounterImage]:
        """What the counters of those of these members that exist should show, all as of one moment."""
        ...

    def forget(self, projected: Sequence[CounterImage]) -> None:
        """Take members off the queue, save those that changed again since their image."""
        ...

    def queue(self, refs: Sequence[MemberRef]) -> None:
        """Put members on the queue as they stand now."""
        ...

    def queued(self, refs: Sequence[MemberRef]) -> set[MemberRef]:
        """Those of these members that are on the queue."""
        ...

    def sample(self, size: int) -> list[MemberRef]:
        """About `size` members of whom anything was counted, at random; at most `size`."""
        ...


class Jobs(Protocol):
    """The worker's own book-keeping."""

    def claim(self, job: str) -> bool:
        """Take a job until the transaction ends; False when another worker is at it."""
        ...

    def now(self) -> datetime:
        """The database's time: one clock for all workers."""
        ...

    def shards_with_work(self, now: datetime) -> list[int]:
        """The shards with events due at `now` or members to fold again, longest waiting first."""
        ...

    def seconds_since(self, job: str) -> float | None:
        """How long ago a job last came to its end, by the database's clock; None if it never did."""
        ...

    def waiting(self, up_to: int) -> int:
        """How many events are pending, of so many at most."""
        ...

    def note_run(self, job: str) -> None:
        """Record that a job has just come to its end."""
        ...

    def add_totals(self, counts: Mapping[str, int]) -> None:
        """Add to what all workers together have done."""
        ...

    def gather_event_counts(self) -> None:
        """Put the rows that count visit events together, once there are many."""
        ...


class Clients(Protocol):
    """What is kept of those who call."""

    def forget_expired(self, before: datetime) -> int:
        """Delete tokens and shown assertions that ended before a moment; how many those were."""
        ...


class Standing(Protocol):
    """Where the service stands."""

    def oldest_due_at(self, now: datetime) -> datetime | None:
        """When the oldest event that a worker could apply now was received; None if none waits."""
        ...


class Audit(Protocol):
    """The audit trail, which keeps itself for as long as its owner said."""

    def prune(self) -> int:
        """Delete some of the entries that are older than they are kept; how many, 0 when none is left."""
        ...


class Periods(PeriodReports, Protocol):
    """Benefit periods, and what was reported of them."""

    def payers(self) -> list[str]:
        """The payers that the transaction may see."""
        ...


class WorkerTransaction(Transaction, Protocol):
    """One open transaction with everything the worker's use cases work on."""

    @property
    def audit(self) -> Audit:
        """The audit trail."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Counters to project."""
        ...

    @property
    def jobs(self) -> Jobs:
        """The worker's jobs."""
        ...

    @property
    def clients(self) -> Clients:
        """Those who call."""
        ...

    @property
    def standing(self) -> Standing:
        """What waits."""
        ...

    @property
    def periods(self) -> Periods:
        """Benefit periods, and what was reported of them."""
        ...


class Store(Protocol):
    """Hands out transactions."""

    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None
    ) -> AbstractContextManager[WorkerTransaction]:
        """One transaction that sees `payers`. Raises StoreUnavailable when it cannot answer in time."""
        ...


class WakeFlags(Protocol):
    """Says of each shard whether a wake-up is on its way, so that no second one is sent."""

    def lower_raised(self) -> list[int]:
        """Lower every flag, so that wake-ups are sent again; the shards whose flag was up.

        Raises CountersUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every use case is handed. `monotonic` is a clock in seconds that never goes back.

    `backlog` is held while this process drains every shard that has work. `turns` of plain visits are
    remembered from batch to batch.
    """

    store: Store
    rules: RulesSource
    counters: DisposableCounters
    flags: WakeFlags
    clock: Clock
    monotonic: Callable[[], float]
    totals: Totals
    batch_max: int
    backlog: threading.Lock = field(default_factory=threading.Lock)
    turns: PlainTurns = field(default_factory=PlainTurns)
