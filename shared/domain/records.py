"""What the accounting loads and saves: a member's history with the state it last led to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from shared.domain.accumulator import Accumulator, AccumulatorKey, KeyName
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.history import History, Posting, VisitOutcome
from shared.domain.hold import HoldState
from shared.domain.inbox import PendingEvent
from shared.domain.limit import Basis
from shared.domain.record import record
from shared.domain.visit import EVENT_TYPES, Disposition, Visit, VisitKey


class MemberRef(NamedTuple):
    """A member of a payer; the order in which members are locked.

    A tuple, since it is what everything of a batch is looked up by: its hash and order are the tuple's own.
    """

    payer_id: str
    member_id: str


def in_order(refs: Iterable[MemberRef]) -> list[MemberRef]:
    """Each of these members once, in the order in which members are locked."""
    return sorted(set(refs))


@record(frozen=True, slots=True, kw_only=True)
class StoredAccumulator:
    """An accumulator's state as stored. `version` counts its ledger entries."""

    state: Accumulator
    version: int
    in_use: bool


@record(frozen=True, slots=True, kw_only=True)
class StoredVisit:
    """A visit as stored; `last_event` is the highest arrival among its applied events.

    `outcome` is the JSON object that `codec.visit_outcome_to` makes; `revision` counts the row's writes.
    """

    visit: Visit
    last_event: int
    disposition: Disposition
    plan_id: str | None
    outcome: Mapping[str, Any]
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHold:
    """A hold's state as stored; `outcome` is what `codec.hold_outcome_to` makes."""

    state: HoldState
    outcome: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMember:
    """A locked member: the history, and the state that was last saved for it."""

    ref: MemberRef
    version: int
    ledger_entries: int
    ledger_head: bytes
    history: History
    accumulators: Mapping[AccumulatorKey, StoredAccumulator] = field(default_factory=dict)
    visits: Mapping[VisitKey, StoredVisit] = field(default_factory=dict)
    holds: Mapping[str, StoredHold] = field(default_factory=dict)


@record(frozen=True, slots=True, kw_only=True)
class PlainMember:
    """A locked member as far as plain new visits need it: enrollment and counts, no history.

    The accumulators are by the names of their keys. Members with equal spans share them, where that can be.
    """

    spans: tuple[EnrollmentSpan, ...]
    accumulators: Mapping[KeyName, StoredAccumulator]


@record(frozen=True, slots=True, kw_only=True)
class MemberBase:
    """A member without visits: what a check needs besides the accumulators.

    `history` carries spans, plans, overrides and opening balances only; `service_dates` are those of
    the needling visits that took place near the dates asked about, counted or not, and `day_codes` the
    codes of all that took place on these dates.
    """

    ref: MemberRef
    version: int
    history: History
    pending_events: int
    refold_requested: bool
    hold_postings: Mapping[str, tuple[Posting, ...]]
    service_dates: tuple[date, ...] = ()
    day_codes: Mapping[date, tuple[str, ...]] = field(default_factory=dict)


@record(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a posting was made: the kind of thing and its id, as the ledger shows it."""

    kind: str
    id: str

    @property
    def is_event(self) -> bool:
        """Whether it is a visit event, whose receipt tells what it did."""
        return self.kind in EVENT_TYPES


class LedgerEntry(NamedTuple):
    """An immutable posting to an accumulator. `version` counts the accumulator's entries, without gaps.

    `service_date` is the date its units count on. `hash` chains the member's entries: SHA-256 over the
    hash before and the JSON of all other fields, in this order. A tuple, since each is made, hashed and
    written field by field, and hardly ever read.
    """

    entry_no: int
    plan_id: str
    limit_id: str
    basis: Basis
    period_start: date
    period_end: date
    subject: str
    version: int
    client_id: str | None
    visit_id: str | None
    hold_id: str | None
    service_date: date
    used_delta: int
    held_delta: int
    used_after: int
    held_after: int
    allowed: int
    cause_kind: str
    cause_id: str
    recorded_at: datetime
    hash: bytes

    @property
    def key(self) -> AccumulatorKey:
        """The accumulator it is posted to."""
        period = BenefitPeriod(
            basis=self.basis, start=self.period_start, end=self.period_end, subject=self.subject
        )
        return AccumulatorKey(plan_id=self.plan_id, limit_id=self.limit_id, period=period)


@record(frozen=True, slots=True, kw_only=True)
class SavedVisit:
    """A visit to be saved with what became of it; `revision` is that of the row read, 0 if it is new.

    `cause` is what changed it, where that was no event: the change is then listed.
    """

    visit: Visit
    last_event: int
    outcome: VisitOutcome
    revision: int
    cause: Cause | None = None


class PlainVisit(NamedTuple):
    """A new visit of which only its `visit.recorded` has come, to be saved with what became of it.

    `service_date` is a calendar date. A tuple, since nearly every visit is one.
    """

    event: PendingEvent
    service_date: date
    outcome: VisitOutcome


@record(frozen=True, slots=True, kw_only=True)
class MemberChanges:
    """Everything one batch changed for one member, saved in one transaction."""

    ref: MemberRef
    version: int
    ledger_entries: int
    ledger_head: bytes
    accumulators: tuple[StoredAccumulator, ...]
    entries: tuple[LedgerEntry, ...]
    visits: tuple[SavedVisit, ...]
    holds: Mapping[str, StoredHold]
    plain_visits: tuple[PlainVisit, ...] = ()


@record(frozen=True, slots=True, kw_only=True)
class CounterImage:
    """What Redis shows of one member: every accumulator in use, as of one version of the member."""

    ref: MemberRef
    version: int
    accumulators: tuple[StoredAccumulator, ...]
