"""What the use cases need from the world, as protocols. Adapters implement them, fakes in tests too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from shared.domain.catalog_records import DocumentRow
from shared.domain.enrollment import Plan
from shared.domain.history import Rules
from shared.domain.hold_records import HoldRow, NewHold, NewOverride
from shared.domain.inbox import ApplyResult, PendingEvent
from shared.domain.member_rows import MemberRow
from shared.domain.records import (
    CounterImage,
    MemberBase,
    MemberChanges,
    MemberRef,
    PlainMember,
    SavedVisit,
    StoredAccumulator,
    StoredMember,
    StoredVisit,
)
from shared.domain.visit import VisitEvent, VisitKey

Clock = Callable[[], datetime]


class Inbox(Protocol):
    """Accepted visit events on their way to the ledger, and afterwards."""

    def claim_shards(self, shards: Sequence[int]) -> list[int]:
        """Take shards until the transaction ends; those that another drainer has are left out."""
        ...

    def pending(self, shards: Sequence[int], of_each: int, now: datetime) -> list[PendingEvent]:
        """The oldest pending events that are due, at most `of_each` of each shard, in arrival order."""
        ...

    def pending_among(self, arrivals: Sequence[int], now: datetime) -> list[PendingEvent]:
        """Those of the given events that are still pending and due."""
        ...

    def shards_waiting(self, refs: Iterable[MemberRef]) -> list[int]:
        """The shards in which events of these members are pending."""
        ...

    def wait_for_shards(self, shards: Sequence[int]) -> None:
        """Take shards until the transaction ends, in order, waiting for their drainers."""
        ...

    def pending_of(
        self, refs: Iterable[MemberRef], shards: Sequence[int], now: datetime
    ) -> list[PendingEvent]:
        """The events that wait in these shards for visits of these members, in arrival order."""
        ...

    def number_anew(self, arrivals: Sequence[int]) -> dict[int, int]:
        """Give those of these pending events that were overtaken a new arrival; each old one's new one.

        Overtaken is an event that nobody could see yet when a later-numbered visit of its member, from
        the same shard, was applied. One that failed before keeps its arrival. The events of its visit that
        wait behind it come after it.
        """
        ...

    def applied_events(self, payer_id: str, key: VisitKey) -> list[VisitEvent]:
        """Every applied event of one visit, in arrival order."""
        ...

    def finish(self, results: Sequence[ApplyResult], now: datetime) -> None:
        """Record what became of each event. Raises ConcurrentChange when one does not wait any more."""
        ...

    def fail(self, arrival: int, failure: str, now: datetime, attempts_max: int) -> None:
        """Count a failed attempt; the event is due again later, or dead after `attempts_max`."""
        ...


class MemberBooks(Protocol):
    """Members' histories and states."""

    def find_visits(self, keys: Iterable[tuple[str, VisitKey]]) -> dict[tuple[str, VisitKey], StoredVisit]:
        """The stored visits among (payer, visit key) pairs."""
        ...

    def lock(self, refs: Iterable[MemberRef]) -> Mapping[MemberRef, MemberRow]:
        """Lock these members in order, making those not heard of yet; each name with the row it leads to."""
        ...

    def load(self, rows: Mapping[MemberRef, MemberRow]) -> dict[MemberRef, StoredMember]:
        """Load locked members whole, by the names that led to them."""
        ...

    def plain(
        self, asks: Mapping[MemberRef, Sequence[date]]
    ) -> tuple[dict[MemberRef, PlainMember], Mapping[str, Mapping[str, Plan]]]:
        """Those of these locked members who can take plain new visits, and their payers' plans, by id.

        Not one with an override, an opening balance, a merge or a request to be folded again, nor one
        with a visit on one of the dates asked for.
        """
        ...

    def read(self, refs: Iterable[MemberRef]) -> dict[MemberRef, StoredMember]:
        """Load members whole without locking them; those never heard of are absent."""
        ...

    def bases(self, refs: Iterable[MemberRef], days: Iterable[date] = ()) -> dict[MemberRef, MemberBase]:
        """Members without visits and accumulators; those never heard of are absent.

        What was done on the service dates `days` is told by its codes, and needling near them by its dates.
        """
        ...

    def accumulators(self, refs: Iterable[MemberRef]) -> dict[MemberRef, list[StoredAccumulator]]:
        """The stored accumulators of members, by member."""
        ...

    def versioned_accumulators(
        self, refs: Iterable[MemberRef]
    ) -> dict[MemberRef, tuple[int, list[StoredAccumulator]]]:
        """The stored accumulators of members, each with that member's version; one without any is absent."""
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

    def due_refolds(self, shards: Sequence[int], limit: int) -> list[MemberRef]:
        """Members of these shards to fold again, oldest request first."""
        ...

    def requested_refolds(self, refs: Iterable[MemberRef]) -> dict[MemberRef, str]:
        """Those of these members that are to be folded again, with why."""
        ...

    def refolded(self, refs: Iterable[MemberRef]) -> None:
        """Forget the requests to fold these members again."""
        ...


class Holds(Protocol):
    """Holds as stored."""

    def next_arrival(self) -> int:
        """The next place among all that was accepted."""
        ...

    def insert(self, hold: NewHold) -> None:
        """Store a granted hold."""
        ...

    def due(self, now: datetime, limit: int, skip: int = 0) -> list[HoldRow]:
        """Pending holds whose time is over, the oldest first, without the oldest `skip`."""
        ...

    def ending(self, hold_ids: Iterable[str]) -> None:
        """Wait for visits on their way that name these holds; later ones arrive after the end."""
        ...

    def end(self, hold_id: str, end_state: str) -> int:
        """Mark a hold as ended; the arrival of its end."""
        ...


class Overrides(Protocol):
    """Overrides as stored."""

    def insert(self, grant: NewOverride) -> None:
        """Store a granted override."""
        ...

    def revoke(self, override_id: str, now: datetime) -> None:
        """Mark an override as revoked."""
        ...


class CatalogStore(Protocol):
    """The rule catalog as stored."""

    def version(self) -> int:
        """The number of the running catalog; 0 before anything was loaded."""
        ...

    def lock_for_change(self, payer_ids: Sequence[str] | None) -> int:
        """Let nobody else change the catalog, nor fold members of these payers (None: of all) by it."""
        ...

    def find(self, document_id: str, version: int) -> DocumentRow | None:
        """One version of one document, if the transaction may see it."""
        ...

    def listing(self) -> list[DocumentRow]:
        """Every version of every document that the transaction may see."""
        ...

    def insert(self, row: DocumentRow) -> None:
        """Store a version of a document."""
        ...

    def activate(self, document_id: str, version: int, catalog_version: int) -> None:
        """Let a stored version run from a catalog on."""
        ...

    def raise_version(self, version: int) -> None:
        """Make `version` the running catalog."""
        ...

    def put_reference(self, version: int, body: str) -> None:
        """Store the catalog's other parts, as of catalog `version`."""
        ...

    def reference(self, version: int) -> str | None:
        """The catalog's other parts as of catalog `version`, as JSON text."""
        ...

    def documents(self, version: int) -> list[str]:
        """The documents of catalog `version`, as JSON texts."""
        ...

    def add_payers(self, names: Mapping[str, str]) -> None:
        """Make the payers that are not there yet."""
        ...

    def request_refolds(self, payer_ids: Sequence[str] | None, reason: str) -> int:
        """Have every member of these payers (None: of all) for whom something is counted folded again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What a transaction is going to ask, so that it can be asked with its beginning.

    The keys and tokens of these prefixes (`clients.find`), and for `members` the running catalog's number
    and how they stand, on `days` too (`books.bases`).
    """

    credentials: Sequence[str] = ()
    members: Sequence[MemberRef] = ()
    days: Iterable[date] = ()


#: Is told that a commit is sent and that only the server is waited for.
Sent = Callable[[], None]


def nobody_waits() -> None:
    """For those on whose commit nobody waits."""


#: Has something done, in whatever thread, as soon as it may be, and returns then. Raises what that raises.
InTurn = Callable[[Callable[[], None]], None]


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

    @property
    def holds(self) -> Holds:
        """Holds."""
        ...

    @property
    def catalog(self) -> CatalogStore:
        """The rule catalog."""
        ...

    @property
    def overrides(self) -> Overrides:
        """Overrides."""
        ...

    def commit(self, sent: Sent = nobody_waits) -> None:
        """Make everything done so far durable. `sent` is called when only the server is waited for."""
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


class DisposableCounters(Counters, Protocol):
    """Counters that can be deleted too."""

    def forget(self, refs: Sequence[MemberRef]) -> None:
        """Delete these members' counters. Raises CountersUnavailable."""
        ...
