"""Holds during a fold: they take their units before any visit has its turn (contract section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from shared.domain.accumulator import AccumulatorKey
from shared.domain.benefit_period import first_service_year
from shared.domain.enrollment import Plan
from shared.domain.evaluation import LimitClaim, Reason
from shared.domain.history import History, HoldOutcome, Posting, Rules
from shared.domain.hold import Hold
from shared.domain.qualification import Candidate, situation_of
from shared.domain.same_day import SameDay
from shared.domain.tallies import Tallies, YearOpening
from shared.domain.visit import Visit, VisitKey

Units = Mapping[AccumulatorKey, int]

#: Beside the reasons of a visit that names a hold and leaves it as it is.
_NO_SUCH_HOLD = Reason(
    code="hold_not_used", text="this member has no hold with the hold_id that the visit names"
)
_HOLD_ENDED = Reason(
    code="hold_not_used", text="the hold that the visit names is over: it was released, or it expired"
)
_HOLD_OF_ANOTHER = Reason(
    code="hold_not_used", text="the hold that the visit names went to another visit, or was released by one"
)
_HOLD_KEPT = Reason(
    code="hold_not_used",
    text="the hold that the visit names stays as it is, since this visit does not count in what it holds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The units that wait for one hold's visit; `for_visit` is the visit that may post it, if any."""

    hold: Hold
    units: Units
    for_visit: VisitKey | None

    @property
    def on(self) -> date:
        """The service date that was held."""
        return self.hold.service.service_date


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a fold found out about a hold and the next one begins with.

    `passed_over` are visits that name it and did not count with it; `kept` what its visit uses of it,
    when that is less than was promised.
    """

    passed_over: frozenset[VisitKey] = frozenset()
    kept: Units | None = None


class HeldUnits:
    """What holds keep, and what becomes of them."""

    def __init__(
        self,
        history: History,
        rules: Rules,
        tallies: Tallies,
        same_day: SameDay,
        candidates: Sequence[Candidate],
        corrections: Mapping[str, Correction],
    ) -> None:
        """Give every hold its units, in the order they arrived. `candidates` come in order of arrival."""
        self._history = history
        self._rules = rules
        self._tallies = tallies
        self._same_day = same_day
        self._corrections = corrections
        self._waiting: dict[str, Waiting] = {}
        self._found: dict[str, Correction] = {}
        self._ended = {hold.hold_id: hold.ended_by is not None for hold in history.holds}
        self.outcomes: dict[str, HoldOutcome] = {}
        for hold in sorted(history.holds, key=lambda hold: hold.arrival):
            self._promise(hold, [c for c in candidates if _names(c.visit, hold)])

    # Before the turns

    def _promise(self, hold: Hold, naming: Sequence[Candidate]) -> None:
        """Give a hold its units, or settle that it keeps none.

        Of the visits that name it before it ends, by arrival, the first that is a no-show, cancelled
        or voided releases it, and the first that qualifies for its limits and periods posts it on its
        turn. A hold that finds no room any more, because what it was granted under has changed, keeps
        nothing, so that I3 holds.
        """
        correction = self._corrections.get(hold.hold_id, Correction())
        claims = claims_of_hold(self._history, self._rules, self._same_day, hold)
        for candidate in naming:
            if not _takes_place(candidate.visit):
                self.outcomes[hold.hold_id] = HoldOutcome(state="released", posted_by=candidate.visit.key)
                return
            wanted = self._keyed(hold, claims, candidate)
            asked = self._quantities(candidate)
            if candidate.visit.key in correction.passed_over or not wanted.keys() <= asked.keys():
                continue
            units = correction.kept if correction.kept is not None else self._units(hold, wanted, asked)
            if units:
                self._keep(hold, wanted, units, candidate)
                return
        if hold.ended_by is not None:
            self.outcomes[hold.hold_id] = HoldOutcome(state=hold.end_state or "released")
            return
        wanted = self._keyed(hold, claims, None)
        self._keep(hold, wanted, self._units(hold, wanted, {}), None)

    def _units(self, hold: Hold, wanted: Mapping[AccumulatorKey, LimitClaim], asked: Units) -> Units:
        """What a hold keeps of each limit, no more than is asked of it; nothing if one has no room."""
        on = hold.service.service_date
        fits = all(self._tallies.room(key, claim.limit, on) >= hold.quantity for key, claim in wanted.items())
        return {key: min(hold.quantity, asked.get(key, hold.quantity)) for key in wanted} if fits else {}

    def _keep(
        self,
        hold: Hold,
        wanted: Mapping[AccumulatorKey, LimitClaim],
        units: Units,
        chosen: Candidate | None,
    ) -> None:
        on = hold.service.service_date
        for key, quantity in units.items():
            tally = self._tallies.tally(key, wanted[key].limit)
            tally.allow(self._tallies.allowed_on(wanted[key].limit, key, on))
            tally.hold(quantity, on)
        for_visit = chosen.visit.key if chosen is not None else None
        self._waiting[hold.hold_id] = Waiting(hold=hold, units=units, for_visit=for_visit)
        postings = tuple(Posting(key=key, on=on, units=held) for key, held in units.items() if held)
        self.outcomes[hold.hold_id] = HoldOutcome(state="pending", postings=postings)

    def _keyed(
        self, hold: Hold, claims: Sequence[tuple[Plan, LimitClaim]], candidate: Candidate | None
    ) -> dict[AccumulatorKey, LimitClaim]:
        """The accumulators that a hold wants units of, if this visit is to post it.

        A hold dated before the first-service year that its visit opens lies in that year, if the year
        that it would open itself holds the visit: the appointment was only moved.
        """
        keyed: dict[AccumulatorKey, LimitClaim] = {}
        theirs = [key for _, key in self._tallies.claims_of(candidate)] if candidate is not None else []
        for plan, claim in claims:
            key = self._tallies.key_of(claim.limit, plan, hold.service)
            if key is None:
                continue
            year = self._tallies.would_open(key, hold.service.service_date)
            moved = (
                other
                for other in theirs
                if year is not None
                and (other.plan_id, other.limit_id) == (key.plan_id, key.limit_id)
                and year[0] <= other.period.start < year[1]
            )
            keyed[next(moved, key)] = claim
        return keyed

    def _quantities(self, candidate: Candidate) -> dict[AccumulatorKey, int]:
        """What a visit asks of each accumulator; nothing if it does not qualify."""
        if candidate.disposition is not None:
            return {}
        return {key: claim.quantity for claim, key in self._tallies.claims_of(candidate)}

    # During the turns

    def waiting_for(self, candidate: Candidate) -> Waiting | None:
        """The hold whose units wait for this visit; None when none does, or it no longer qualifies."""
        hold_id = candidate.visit.content.hold_id if candidate.visit.content else None
        waiting = self._waiting.get(hold_id) if hold_id is not None else None
        if waiting is None or waiting.for_visit != candidate.visit.key:
            return None
        return waiting if waiting.units.keys() <= self._quantities(candidate).keys() else None

    def post(self, visit: Visit, used: Units) -> None:
        """Turn the hold that waits for a visit over to it; `used` is what it uses of each limit."""
        hold_id = visit.content.hold_id if visit.content else None
        if hold_id is None:
            return
        waiting = self._waiting.pop(hold_id)
        self._let_go(waiting)
        self.outcomes[hold_id] = HoldOutcome(state="posted", posted_by=visit.key)
        kept = {key: used[key] for key in waiting.units}
        if kept != waiting.units:
            known = self._corrections.get(hold_id, Correction())
            self._found[hold_id] = Correction(passed_over=known.passed_over, kept=kept)

    def left_by(self, visit: Visit) -> Reason | None:
        """After a visit's turn: why the hold that it names is as it was; None if it is not, or none is named.

        One that is not known yet or voided is not spoken of.
        """
        hold_id = visit.content.hold_id if visit.content and visit.known and not visit.voided else None
        if hold_id is None:
            return None
        outcome = self.outcomes.get(hold_id)
        if outcome is None:
            return _NO_SUCH_HOLD
        waiting = self._waiting.get(hold_id)
        theirs = outcome.posted_by or (waiting.for_visit if waiting else None)
        if theirs is not None:
            return None if theirs == visit.key else _HOLD_OF_ANOTHER
        return _HOLD_ENDED if self._ended[hold_id] else _HOLD_KEPT

    def corrections(self) -> Mapping[str, Correction] | None:
        """After every turn: what should have been held; None when it was right.

        Units that were kept from others and in the end not used belong to the next in order, so the
        turns must be taken again. Every round passes over a visit or lets go of units, so they end.
        """
        found = dict(self._found)
        for hold_id, waiting in self._waiting.items():
            if waiting.for_visit is not None:
                known = self._corrections.get(hold_id, Correction())
                found[hold_id] = Correction(passed_over=known.passed_over | {waiting.for_visit})
        return {**self._corrections, **found} if found else None

    def _let_go(self, waiting: Waiting) -> None:
        for key, units in waiting.units.items():
            tally = self._tallies.find(key)
            if tally is not None:
                tally.hold(-units, waiting.on)


def claims_of_hold(
    history: History, rules: Rules, same_day: SameDay, hold: Hold
) -> list[tuple[Plan, LimitClaim]]:
    """What a hold's service claims, in the plan that covers its date; nothing where none does."""
    codes = same_day.codes_before(hold.service.service_date, hold.arrival)
    situation = situation_of(history, hold.service, same_day_codes=codes)
    if situation.plan is None:
        return []
    return [(situation.plan, claim) for claim in rules.evaluate(situation).claims]


def years_held_open(
    history: History, rules: Rules, same_day: SameDay, candidates: Sequence[Candidate]
) -> list[YearOpening]:
    """The dates of pending holds that open a first-service year until their visits do it themselves.

    A visit that names a hold but lies in another year leaves the hold where it is. One that does not take
    place releases it, unless a visit before it posts it, which opens the year itself.
    """
    opened: list[YearOpening] = []
    for hold in history.holds:
        naming = [candidate for candidate in candidates if _names(candidate.visit, hold)]
        if hold.ended_by is not None or any(not _takes_place(candidate.visit) for candidate in naming):
            continue
        for plan, claim in claims_of_hold(history, rules, same_day, hold):
            if not any(
                _qualifies(candidate, plan, claim.limit.limit_id) and _shares_a_year(candidate, hold)
                for candidate in naming
            ):
                opened.append((plan.plan_id, claim.limit.limit_id, hold.service.service_date))
    return opened


def _qualifies(candidate: Candidate, plan: Plan, limit_id: str) -> bool:
    return (
        candidate.disposition is None
        and candidate.plan == plan
        and candidate.evaluation is not None
        and any(claim.limit.limit_id == limit_id for claim in candidate.evaluation.claims)
    )


def _shares_a_year(candidate: Candidate, hold: Hold) -> bool:
    """Whether the first-service year that either of a visit and a hold would open holds the other."""
    content, held_on = candidate.visit.content, hold.service.service_date
    if content is None:
        return False
    earlier, later = sorted((content.service.service_date, held_on))
    return later < first_service_year(earlier)[1]


def _takes_place(visit: Visit) -> bool:
    """Whether a visit is neither voided nor a no-show nor cancelled."""
    return not visit.voided and visit.content is not None and visit.content.visit_status == "completed"


def _names(visit: Visit, hold: Hold) -> bool:
    """Whether a visit names the hold and arrived before the hold ended."""
    if visit.arrival is None or visit.content is None or visit.content.hold_id != hold.hold_id:
        return False
    return hold.ended_by is None or visit.arrival < hold.ended_by
