"""What adjudication folds, and what comes out: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from shared.domain.accumulator import Accumulator, AccumulatorKey
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.evaluation import Evaluation, Reason, Situation, Source
from shared.domain.hold import Hold, HoldState, OpeningBalance, Override
from shared.domain.limit import Limit
from shared.domain.record import record
from shared.domain.service import Service
from shared.domain.visit import Disposition, Visit, VisitKey


class Rules(Protocol):
    """What adjudication asks the rule engine; the same that an eligibility check asks."""

    def evaluate(self, situation: Situation) -> Evaluation:
        """The evaluation of one service in its situation. Pure."""
        ...

    def limits_on(self, payer_id: str, plan: Plan, on: date) -> tuple[tuple[Limit, Source], ...]:
        """Every limit that the rules set for a plan on a date, with the document that sets it."""
        ...

    def bearing_on(self, payer_id: str, plan: Plan | None, service: Service) -> Service:
        """The service as far as it bears on what the rules say of it, and on the periods of their limits."""
        ...

    def dates_bearing_on(self, on: date, dates: tuple[date, ...]) -> tuple[date, ...]:
        """The member's other needling dates, as far as they bear on what the rules say of a service date."""
        ...


@record(frozen=True, slots=True, kw_only=True)
class History:
    """Everything a member's state is a function of, besides the rules (contract I4).

    `plans` holds every plan that a span or opening balance names. A merged member's visits, holds
    and balances are part of the history of the member they were merged into.
    """

    payer_id: str
    member_id: str
    spans: tuple[EnrollmentSpan, ...]
    plans: Mapping[str, Plan]
    visits: tuple[Visit, ...] = ()
    holds: tuple[Hold, ...] = ()
    overrides: tuple[Override, ...] = ()
    opening_balances: tuple[OpeningBalance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Units that one visit or hold moved in one accumulator.

    `on` is the service date they count on, `allowed` what was allowed on that turn; `granted` units
    come from the visit's own override; `carried` marks units that a visit under another plan left here.
    """

    key: AccumulatorKey
    on: date
    units: int
    granted: int = 0
    allowed: int = 0
    carried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An accumulator that a visit was weighed against, and what was allowed on its service date."""

    key: AccumulatorKey
    allowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitOutcome:
    """What became of a visit: its disposition, why, and every unit it moved.

    `claims` are the accumulators it was weighed against, moved or not; `binding` the one that had no
    room for it.
    """

    disposition: Disposition
    reasons: tuple[Reason, ...] = ()
    postings: tuple[Posting, ...] = ()
    claims: tuple[Claimed, ...] = ()
    binding: AccumulatorKey | None = None
    plan_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOutcome:
    """What became of a hold: its state and the units it keeps (none unless pending)."""

    state: HoldState
    postings: tuple[Posting, ...] = ()
    posted_by: VisitKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberState:
    """The fold of a history. Equal histories give equal states, however they were applied."""

    accumulators: Mapping[AccumulatorKey, Accumulator] = field(default_factory=dict)
    visits: Mapping[VisitKey, VisitOutcome] = field(default_factory=dict)
    holds: Mapping[str, HoldOutcome] = field(default_factory=dict)
