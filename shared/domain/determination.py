"""Determinations: what the rules say of a service, with the counts added (contract sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey
from shared.domain.adjudication import Fold, Preview
from shared.domain.benefit_period import UNBOUNDED_START, first_service_year, rolling_window
from shared.domain.evaluation import (
    COVERING,
    Advisory,
    Decision,
    Evaluation,
    LineEvaluation,
    Reason,
    Source,
    worst,
)
from shared.domain.history import History, Posting, Rules
from shared.domain.limit import Limit
from shared.domain.limit_reasons import standing_reason
from shared.domain.qualification import situation_of
from shared.domain.record import record
from shared.domain.service import Service
from shared.domain.tallies import YearOpening
from shared.domain.weighing import Weighed

#: How near to a service another one is recent, in days: what advice on frequency may look at.
RECENT_DAYS = 31


@record(frozen=True, slots=True, kw_only=True)
class MemberStanding:
    """A member as a check finds them: who covers them, and their accumulators as of one moment.

    `history` carries no visits and no holds: `accumulators` contains them. `versions` counts the
    ledger entries behind each accumulator, `pending_events` the accepted events not yet applied.
    `hold_postings` are the units that each pending hold keeps. `ahead_of_ledger`: the accumulators have
    what is not in the ledger, a change of rules or plans or a year that is only asked about.
    `service_dates` are those of needling visits near the dates that are asked about, `day_codes` the codes
    of all visits on these dates (`same_day.SameDay`).
    """

    history: History
    accumulators: tuple[Accumulator, ...] = ()
    versions: Mapping[AccumulatorKey, int] = field(default_factory=dict)
    pending_events: int = 0
    hold_postings: Mapping[str, tuple[Posting, ...]] = field(default_factory=dict)
    service_dates: tuple[date, ...] = ()
    ahead_of_ledger: bool = False
    day_codes: Mapping[date, tuple[str, ...]] = field(default_factory=dict)

    def recent_dates(self, on: date) -> tuple[date, ...]:
        """The member's other needling dates that are near a service date."""
        return tuple(day for day in self.service_dates if abs((day - on).days) <= RECENT_DAYS)


@record(frozen=True, slots=True, kw_only=True)
class LimitStanding:
    """How one limit stands for a service date; all counts in the limit's measure.

    `period_start` and `period_end` bound what is counted, `[start, end)`; of a rolling limit it is
    the window that ends with the service date. They are None where the basis has no dates. `room` is
    what a service of that date still finds in its place of the limit's order, `remaining` what is
    left whatever the order.
    """

    limit: Limit
    key: AccumulatorKey
    period_start: date | None
    period_end: date | None
    allowed: int | None
    used: int
    held: int
    remaining: int | None
    room: int
    version: int
    pending_events: int
    exhausted: bool
    source: Source


@record(frozen=True, slots=True, kw_only=True)
class Determination:
    """The answer to an eligibility check, before it is given an id and a time.

    `evaluation` is what the rules said; `decision`, `reasons` and `lines` are that with the limits
    counted. `claimed`: see `Preview`.
    """

    decision: Decision
    reasons: tuple[Reason, ...]
    lines: tuple[LineEvaluation, ...]
    limits: tuple[LimitStanding, ...]
    evaluation: Evaluation
    plan_id: str | None
    claimed: tuple[AccumulatorKey, ...] = ()


#: Beside an answer to a check that names a hold which keeps no units for this member.
HOLD_NOT_PENDING = Advisory(
    code="hold_not_pending",
    text="no pending hold of this member has the hold_id that was named, so no units of it count as free",
)


def determine(
    rules: Rules, standing: MemberStanding, service: Service, hold_id: str | None = None
) -> Determination:
    """Decide whether the member's next service is covered, and why.

    Counting asks the same rules and the same fold (contract section 4), so a visit recorded now with
    this content would be treated as this answer says. `hold_id` names a hold whose units count as free;
    if the member has no such hold pending, an advisory says so.
    """
    fold = Fold(standing.history, rules, standing.accumulators, standing.day_codes)
    freed = standing.hold_postings.get(hold_id) if hold_id is not None else ()
    fold.release(freed or ())
    on = service.service_date
    preview = fold.preview(service, recent_service_dates=standing.recent_dates(on))
    limits = tuple(_limit_standing(weighed, standing, on) for weighed in preview.weighed)
    if freed is None:
        advisories = (*preview.evaluation.advisories, HOLD_NOT_PENDING)
        preview = replace(preview, evaluation=replace(preview.evaluation, advisories=advisories))
    if not preview.evaluation.claims:
        evaluation = preview.evaluation
        return Determination(
            decision=evaluation.decision,
            reasons=evaluation.reasons,
            lines=evaluation.lines,
            limits=limits,
            evaluation=evaluation,
            plan_id=preview.plan.plan_id if preview.plan else None,
            claimed=preview.claimed,
        )
    return _with_limits(preview, limits)


def determine_from_visits(
    rules: Rules,
    standing: MemberStanding,
    service: Service,
    hold_id: str | None,
    history: Callable[[], History],
) -> tuple[Determination, MemberStanding]:
    """`determine`, also where accumulators do not tell; with the standing that the answer follows from.

    That is where the service would open a first-service year before one that is open. `history` then reads
    the member's whole one, with visits and holds.
    """
    found = determine(rules, standing, service, hold_id)
    openings = years_opened_early(standing, found.claimed)
    if not openings:
        return found, standing
    standing = with_years(standing, history(), rules, openings)
    return determine(rules, standing, service, hold_id), standing


def _with_limits(preview: Preview, limits: tuple[LimitStanding, ...]) -> Determination:
    """Add to an evaluation that claims units what its limits say of them."""
    evaluation = preview.evaluation
    counted = tuple(
        standing_reason(
            weighed.claim,
            standing.used,
            standing.held,
            standing.allowed,
            quantity=weighed.quantity,
            fitting=weighed.fitting,
        )
        for weighed, standing in zip(preview.weighed, limits, strict=True)
    )
    # The reasons that decide come first: of a limit that is exhausted, or of one that has room where
    # nothing else speaks against it, the one that has too little for all of it before the others.
    exhausted = tuple(reason for reason in counted if reason.code == "limit_exhausted")
    short = tuple(reason for reason in counted if reason.code == "partly_within_limit")
    roomy = (*short, *(reason for reason in counted if reason not in short))
    decides = exhausted or (roomy if evaluation.decision in COVERING else ())
    rest = tuple(reason for reason in counted if reason not in decides)
    lines = tuple(_line_with_limits(line, counted, preview) for line in evaluation.lines)
    governing = [line.decision for line in lines if line.governs]
    decision = evaluation.decision
    if exhausted and governing:
        decision = worst(*governing)
    elif short:
        decision = worst(decision, *governing)
    return Determination(
        decision=decision,
        reasons=(*decides, *evaluation.reasons, *rest),
        lines=lines,
        limits=limits,
        evaluation=evaluation,
        plan_id=preview.plan.plan_id if preview.plan else None,
        claimed=preview.claimed,
    )


def _line_with_limits(line: LineEvaluation, counted: Iterable[Reason], preview: Preview) -> LineEvaluation:
    """A covered line with what the limits that it feeds say.

    Feeding an exhausted one it is not covered, and says so first; feeding one that has too little for
    all that is asked for it is covered on the condition that part of it is enough.
    """
    if line.decision not in COVERING or not line.limit_ids:
        return line
    of_line = [
        reason
        for weighed, reason in zip(preview.weighed, counted, strict=True)
        if weighed.claim.limit.limit_id in line.limit_ids
    ]
    exhausted = tuple(reason for reason in of_line if reason.code == "limit_exhausted")
    if exhausted:
        return replace(line, decision="not_covered", reasons=(*exhausted, *line.reasons))
    short = [reason for reason in of_line if reason.code == "partly_within_limit"]
    decision: Decision = "covered_with_conditions" if short else line.decision
    of_line.sort(key=lambda reason: reason not in short)
    return replace(line, decision=decision, reasons=(*of_line, *line.reasons))


def years_opened_early(standing: MemberStanding, keys: Iterable[AccumulatorKey]) -> list[YearOpening]:
    """Those of a service's first-service years that it would open before one that is open.

    Units of the later one then fall in the earlier one as far as that reaches, so what a standing says of
    either is not true any more: see `with_years`. That is so as well of a year within the one that follows:
    a hold that one of its visits used may be for a date in the earlier one, and keeps its units again.
    """
    return [
        (key.plan_id, key.limit_id, key.period.start)
        for key in keys
        if key.period.basis == "first_service_year"
        and any(_told_otherwise_by(key, state.key) for state in standing.accumulators)
        and not any(key == state.key for state in standing.accumulators)
    ]


def _told_otherwise_by(opened: AccumulatorKey, known: AccumulatorKey) -> bool:
    """Whether a first-service year may be told otherwise once another of its limit was opened before it."""
    if (known.plan_id, known.limit_id) != (opened.plan_id, opened.limit_id):
        return False
    return opened.period.start < known.period.start < first_service_year(opened.period.end)[1]


def with_years(
    standing: MemberStanding, history: History, rules: Rules, openings: Iterable[YearOpening]
) -> MemberStanding:
    """A standing as it would be with further first-service years open; `history` has visits and holds too.

    It has an accumulator of each year that is open, also where no unit is asked of it: later years begin
    after its end.
    """
    fold = Fold(history, rules, openings=openings)
    folded = fold.state()
    return replace(
        standing,
        history=replace(history, visits=(), holds=()),
        accumulators=(*folded.accumulators.values(), *fold.unused_years()),
        ahead_of_ledger=True,
        hold_postings={hold_id: folded.holds[hold_id].postings for hold_id in standing.hold_postings},
    )


def limits_on(rules: Rules, standing: MemberStanding, on: date) -> tuple[LimitStanding, ...]:
    """How every limit of the plan that covers the member on a date stands on it; none without a plan."""
    service = Service(service_date=on, lines=())
    plan = situation_of(standing.history, service).plan
    if plan is None:
        return ()
    fold = Fold(standing.history, rules, standing.accumulators)
    return tuple(
        _limit_standing(weighed, standing, on)
        for limit, source in rules.limits_on(standing.history.payer_id, plan, on)
        for weighed in fold.standing(plan, limit, source, service)
    )


def _limit_standing(weighed: Weighed, standing: MemberStanding, on: date) -> LimitStanding:
    limit, tally, period = weighed.claim.limit, weighed.tally, weighed.key.period
    bounds: tuple[date | None, date | None] = (period.start, period.end)
    used, held, granted = tally.used, tally.held, tally.granted
    if limit.basis == "rolling_days":
        length = limit.rolling_days or 1
        bounds = rolling_window(length, on)
        used, held, granted = tally.used_in_window(length, on)
    elif period.start == UNBOUNDED_START:
        bounds = (None, None)
    allowed = weighed.allowed + granted
    return LimitStanding(
        limit=limit,
        key=weighed.key,
        period_start=bounds[0],
        period_end=bounds[1],
        allowed=allowed if limit.capped else None,
        used=used,
        held=held,
        remaining=max(0, allowed - used - held) if limit.capped else None,
        room=weighed.room,
        version=standing.versions.get(weighed.key, 0),
        pending_events=standing.pending_events,
        exhausted=bool(weighed.quantity) and not weighed.fitting,
        source=weighed.claim.source,
    )
