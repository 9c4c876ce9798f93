"""What the use cases need from the world, as protocols. Adapters implement them, fakes in tests too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from shared.accounting.inbox import ApplyResult, PendingEvent
from shared.accounting.stored import (
    CounterImage,
    MemberChanges,
    MemberRef,
    SavedVisit,
    StoredMember,
    StoredVisit,
)
from shared.domain.history import Rules
from shared.domain.visit import VisitEvent, VisitKey

Clock = Callable[[], datetime]


class Inbox(Protocol):
    """Accepted visit events on their way to the ledger, and afterwards."""

    def claim_shard(self, shard: int) -> bool:
        """Take the shard until the transaction ends; False when another drainer has it."""
        ...

    def pending(self, shard: int, limit: int, now: datetime) -> list[PendingEvent]:
        """The shard's oldest pending events that are due, in arrival order, at most `limit`."""
        ...

    def pending_among(self, shard: int, arrivals: Sequence[int], now: datetime) -> list[PendingEvent]:
        """Those of the given events that are still pending and due."""
        ...

    def applied_events(self, payer_id: str, key: VisitKey) -> list[VisitEvent]:
        """Every applied event of one visit, in arrival order."""
        ...

    def finish(self, results: Sequence[ApplyResult], now: datetime) -> None:
        """Record what became of each event."""
        ...

    def fail(self, arrival: int, failure: str, now: datetime, attempts_max: int) -> None:
        """Count a failed attempt; the event is due again later, or dead after `attempts_max`."""
        ...


class MemberBooks(Protocol):
    """Members' histories and states."""

    def find_visits(self, keys: Iterable[tuple[str, VisitKey]]) -> dict[tuple[str, VisitKey], StoredVisit]:
        """The stored visits among (payer, visit key) pairs."""
        ...

    def open(self, refs: Iterable[MemberRef]) -> dict[MemberRef, StoredMember]:
        """Lock these members in order, making those not heard of yet, and load them whole."""
        ...

    def save(self, changes: Sequence[MemberChanges]) -> None:
        """Write everything that changed, and queue the members for projection."""
        ...

    def save_unattributed(self, payer_id: str, visits: Sequence[SavedVisit]) -> None:
        """Write visits of which no member is known yet."""
        ...

    def lock_payers(self, payer_ids: Iterable[str]) -> None:
        """Keep these payers' plans and rules as they are until the transaction ends."""
        ...

    def due_refolds(self, shard: int, limit: int) -> list[MemberRef]:
        """Members of the shard to fold again, oldest request first."""
        ...

    def requested_refolds(self, refs: Iterable[MemberRef]) -> dict[MemberRef, str]:
        """Those of these members that are to be folded again, with why."""
        ...

    def refolded(self, refs: Iterable[MemberRef]) -> None:
        """Forget the requests to fold these members again."""
        ...


class Transaction(Protocol):
    """One open transaction. Leaving its block without `commit` takes everything back."""

    @property
    def inbox(self) -> Inbox:
        """Visit events."""
        ...

    @property
    def books(self) -> MemberBooks:
        """Members' histories and states."""
        ...

    def commit(self) -> None:
        """Make everything done so far durable."""
        ...


class RulesSource(Protocol):
    """Where the running rules come from."""

    def current(self, tx: Any) -> Rules:
        """The rules of the catalog that this transaction sees as running."""
        ...


class Database(Protocol):
    """Hands out transactions."""

    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None
    ) -> AbstractContextManager[Transaction]:
        """One transaction that sees `payers`. Raises StoreUnavailable when it cannot answer in time."""
        ...


class Counters(Protocol):
    """The Redis projection of accumulators: disposable, never older than it was (I5, I6)."""

    def project(self, images: Sequence[CounterImage]) -> None:
        """Write each image unless a newer one is there. Raises CountersUnavailable."""
        ...

    def read(self, refs: Sequence[MemberRef]) -> Mapping[MemberRef, CounterImage]:
        """The images that are there. Raises CountersUnavailable."""
        ...


Json = dict[str, Any]
