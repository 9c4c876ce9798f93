"""What the API's use cases need from the world, beyond what they share with the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

from services.coverage_api.client_ports import Clients, Keys
from shared.accounting.as_of import Past
from shared.accounting.rules import CatalogRules
from shared.domain.audit import AuditEntry, TrailLine, TrailPlace
from shared.domain.determination_record import AnsweredCheck, DeterminationRecord
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.hold import OpeningBalance
from shared.domain.hold_records import HoldRow, OverrideRow
from shared.domain.inbox import NewEvent
from shared.domain.intake import Intake, StreamedEvent
from shared.domain.receipt import StoredReceipt
from shared.domain.records import MemberRef
from shared.domain.standing import EventCounts
from shared.domain.visit_listing import VisitPlace, VisitRow
from shared.ports import Ahead, Clock, Counters, Holds, Inbox, InTurn, Overrides, Transaction

T = TypeVar("T")

#: Makes a new id that begins with the given word, as in `chk_`.
NewId = Callable[[str], str]


class Payers(Protocol):
    """The payers that the transaction may see."""

    def existing(self, payer_ids: Sequence[str]) -> set[str]:
        """Those of the given ids that are payers."""
        ...

    def lock(self, payer_id: str) -> None:
        """Keep others from changing or reading the payer's plans and rules until the transaction ends."""
        ...

    def put(self, payer_id: str, name: str) -> bool:
        """Name a payer, making it if it is new. True if it was new."""
        ...


class Plans(Protocol):
    """Plans of payers."""

    def find(self, payer_id: str, plan_id: str) -> tuple[Plan, int] | None:
        """The plan and its version. Whoever is to change it has locked its payer."""
        ...

    def insert(self, plan: Plan) -> None:
        """Make a plan; its payer is locked."""
        ...

    def replace(self, plan: Plan) -> None:
        """Replace a plan as a new version of it."""
        ...

    def request_refolds(self, payer_id: str, plan_id: str) -> set[int]:
        """Have every member ever enrolled in the plan folded again; the shards that have work now."""
        ...


class Enrollments(Protocol):
    """Members' enrollments."""

    def replace(self, payer_id: str, member_id: str, spans: Sequence[EnrollmentSpan]) -> None:
        """Put these spans, which do not overlap, in the place of all the member's others."""
        ...


class AcceptingInbox(Inbox, Protocol):
    """The inbox, from the side where events come in."""

    def accept(self, events: Sequence[NewEvent]) -> Mapping[tuple[str, str], int]:
        """Store events that are not there yet; the shard of each stored one, by (client, event id)."""
        ...


class BulkInbox(Protocol):
    """The inbox for streams of events."""

    def take_in(
        self,
        client_id: str,
        events: Sequence[StreamedEvent],
        destinations: Sequence[tuple[int, str | None]],
        received_at: datetime,
        in_turn: InTurn,
        *,
        all_new: bool = ...,
    ) -> Intake:
        """Store a client's events that are not there yet, in order.

        It is `in_turn` that has them stored. An event may be among them more than once. `destinations` has
        for each the shard that it goes to, unless an earlier event of its visit lies in another, and the
        member that it is about, if known.
        If they are said to be `all_new`, which is quicker, and are not, it raises NotAllNew: the
        transaction can do nothing more.
        """
        ...


class Receipts(Protocol):
    """Receipts of accepted events."""

    def find(self, events: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], StoredReceipt]:
        """The receipts of events named by (client id, event id), as they stand."""
        ...


class Determinations(Protocol):
    """Recorded answers."""

    def record(self, records: Sequence[DeterminationRecord]) -> None:
        """Write answers with the commit, before they are given."""
        ...

    def body(self, check_id: str) -> tuple[MemberRef, bytes] | None:
        """Whom an answer is about, and the answer as it was given, byte for byte.

        None if the transaction sees none of that id.
        """
        ...

    def find(self, check_id: str) -> AnsweredCheck | None:
        """The whole record of an answer; None if the transaction sees none of that id."""
        ...


class Audit(Protocol):
    """The audit trail."""

    def record(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries with the commit, which raises StoreUnavailable if they cannot be, whyever."""
        ...

    def ids_of(self, ref: MemberRef) -> Sequence[str]:
        """Every id under which the payer knows this person: the member's own, and those merged with it."""
        ...

    def trail(
        self,
        payer_id: str,
        members: Sequence[tuple[str, bytes]],
        start: datetime | None,
        end: datetime | None,
        after: TrailPlace | None,
        limit: int,
    ) -> Sequence[TrailLine]:
        """What was called for, and sent about, a person in `[start, end)`, behind `after`, at most `limit`.

        `members` are the person's ids with the hash of each.
        """
        ...


class Standing(Protocol):
    """Where the service stands."""

    def event_counts(self) -> Mapping[str, EventCounts]:
        """What became of each payer's visit events, by payer id, all in one snapshot (I7)."""
        ...

    def oldest_due_at(self, now: datetime) -> datetime | None:
        """When the oldest event that a worker could apply now was received; None if none waits."""
        ...

    def schema_version(self) -> str:
        """The newest version of the schema that was applied."""
        ...

    def refolds_waiting(self) -> int:
        """How many members wait to be folded again."""
        ...

    def counters_waiting(self) -> int:
        """How many members' counters are older than their state."""
        ...


class WorkerJobs(Protocol):
    """What the workers have done, all of them together."""

    def seconds_since(self, job: str) -> float | None:
        """How long ago a job last came to its end; None if it never did."""
        ...

    def totals(self) -> Mapping[str, int]:
        """What was done so far, by name."""
        ...


class ApiHolds(Holds, Protocol):
    """Holds, from the side where they are asked for."""

    def lock_key(self, client_id: str, idempotency_key: str) -> None:
        """Let one request at a time use this key, until the transaction ends."""
        ...

    def find_repeat(self, client_id: str, idempotency_key: str) -> HoldRow | None:
        """The hold that this client was granted under this key."""
        ...

    def find(self, hold_id: str) -> HoldRow | None:
        """One hold that the transaction may see."""
        ...


class ApiOverrides(Overrides, Protocol):
    """Overrides, from the side where they are asked for."""

    def lock_key(self, client_id: str, idempotency_key: str) -> None:
        """Let one request at a time use this key, until the transaction ends."""
        ...

    def find_repeat(self, client_id: str, idempotency_key: str) -> OverrideRow | None:
        """The override that this client was granted under this key."""
        ...

    def find(self, override_id: str) -> OverrideRow | None:
        """One override that the transaction may see, kept from changing until it ends."""
        ...


class Visits(Protocol):
    """Visits, as those see them who must explain a count."""

    def page(
        self, ref: MemberRef, start: date | None, end: date | None, after: VisitPlace | None, limit: int
    ) -> Sequence[VisitRow]:
        """Visits of a member with service dates in `[start, end)`, behind `after`, at most `limit`."""
        ...

    def opening_balances(self, ref: MemberRef) -> Sequence[OpeningBalance]:
        """Units used elsewhere before we began to count."""
        ...


class ApiTransaction(Transaction, Protocol):
    """One open transaction with everything the API's use cases work on."""

    @property
    def audit(self) -> Audit:
        """The audit trail."""
        ...

    @property
    def holds(self) -> ApiHolds:
        """Holds."""
        ...

    @property
    def overrides(self) -> ApiOverrides:
        """Overrides."""
        ...

    @property
    def visits(self) -> Visits:
        """Visits."""
        ...

    @property
    def inbox(self) -> AcceptingInbox:
        """Visit events."""
        ...

    @property
    def bulk_inbox(self) -> BulkInbox:
        """Visit events by the thousand."""
        ...

    @property
    def clients(self) -> Clients:
        """The systems that may call."""
        ...

    @property
    def known_payers(self) -> Payers:
        """The payers there are."""
        ...

    @property
    def plans(self) -> Plans:
        """Plans."""
        ...

    @property
    def enrollments(self) -> Enrollments:
        """Members' enrollments."""
        ...

    @property
    def receipts(self) -> Receipts:
        """Receipts of events."""
        ...

    @property
    def determinations(self) -> Determinations:
        """Recorded answers."""
        ...

    @property
    def past(self) -> Past:
        """The past of members."""
        ...

    @property
    def jobs(self) -> WorkerJobs:
        """The worker's jobs."""
        ...

    @property
    def standing(self) -> Standing:
        """Where the service stands."""
        ...


class CatalogRulesSource(Protocol):
    """Where the running rules come from, with the catalog they are of."""

    def current(self, tx: Any) -> CatalogRules:
        """The rules of the catalog that this transaction sees as running."""
        ...


class Store(Protocol):
    """Hands out transactions."""

    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None, ahead: Ahead | None = None
    ) -> AbstractContextManager[ApiTransaction]:
        """One transaction that sees `payers`; what it will ask may be asked `ahead`.

        Raises StoreUnavailable when it cannot answer in time.
        """
        ...


class LookingStore(Store, Protocol):
    """Reads in single statements too."""

    def look(self, question: Callable[[ApiTransaction], T], *, seconds: float | None = None) -> T:
        """What one statement reads, in no transaction and seeing no payer. Raises StoreUnavailable."""
        ...


class WakeUps(Protocol):
    """Tells the worker that shards have work. The sweep finds what this misses."""

    def wake(self, shards: Iterable[int]) -> None:
        """Send wake-ups for these shards; never raises and never takes long."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every use case is handed.

    `monotonic` is a clock in seconds that never goes back, and `pause` waits some seconds.
    """

    store: Store
    keys: Keys
    rules: CatalogRulesSource
    counters: Counters
    wakeups: WakeUps
    clock: Clock
    new_id: NewId
    monotonic: Callable[[], float]
    pause: Callable[[float], None]
