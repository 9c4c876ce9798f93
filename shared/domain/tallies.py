"""A member's tallies during a fold: which accumulator a claim falls in, and what is allowed there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey, Tally, keeps_days
from shared.domain.benefit_period import BenefitPeriod, first_service_years, period_for
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.evaluation import LimitClaim
from shared.domain.history import History
from shared.domain.limit import Limit
from shared.domain.qualification import Candidate, claimed_limits
from shared.domain.service import Service
from shared.domain.visit import Visit

Years = tuple[tuple[date, date], ...]
KeyedClaim = tuple[LimitClaim, AccumulatorKey]


class Tallies:
    """The running accumulators of one member."""

    def __init__(self, history: History, standing: Iterable[Accumulator] = ()) -> None:
        """Begin from `standing`, or from nothing."""
        self._history = history
        self._tallies: dict[AccumulatorKey, Tally] = {state.key: Tally.of(state) for state in standing}
        self._years: dict[tuple[str, str], Years] = {}
        self._granted_left = {
            override.override_id: override.quantity
            for override in history.overrides
            if override.visit_id is not None
        }

    def __iter__(self) -> Iterator[AccumulatorKey]:
        """The keys of every accumulator that something has claimed."""
        return iter(self._tallies)

    def find(self, key: AccumulatorKey) -> Tally | None:
        """The tally of an accumulator, if something has claimed it."""
        return self._tallies.get(key)

    # Periods

    def open_years(self, candidates: Iterable[Candidate]) -> None:
        """Open the first-service years of each plan and limit, unit left or not (contract section 3)."""
        opened: dict[tuple[str, str], set[date]] = {}
        for key in self._tallies:
            if key.period.basis == "first_service_year":
                opened.setdefault((key.plan_id, key.limit_id), set()).add(key.period.start)
        for candidate, claim in claimed_limits(candidates):
            if claim.limit.basis == "first_service_year" and candidate.plan and candidate.visit.content:
                days = opened.setdefault((candidate.plan.plan_id, claim.limit.limit_id), set())
                days.add(candidate.visit.content.service.service_date)
        for balance in self._history.opening_balances:
            if (balance.plan_id, balance.limit_id) in opened:
                opened[balance.plan_id, balance.limit_id].add(balance.service_date)
        self._years = {key: first_service_years(days) for key, days in opened.items()}

    def open_next_years(self, candidate: Candidate) -> bool:
        """Open the years of a visit that comes last; False, with nothing opened, if one is not the next."""
        if candidate.plan is None or candidate.evaluation is None or candidate.visit.content is None:
            return False
        on = candidate.visit.content.service.service_date
        opened: dict[tuple[str, str], Years] = {}
        for claim in candidate.evaluation.claims:
            if claim.limit.basis != "first_service_year":
                continue
            name = (candidate.plan.plan_id, claim.limit.limit_id)
            years = self._years.get(name)
            if years is None or on < years[0][0]:
                return False
            if not any(start <= on < end for start, end in years):
                if on < years[-1][1]:
                    return False
                opened[name] = (*years, *first_service_years([on]))
        self._years.update(opened)
        return True

    def key_of(self, limit: Limit, plan: Plan, service: Service) -> AccumulatorKey | None:
        """The accumulator a service falls in; None when what names its period is not known."""
        years = self._years.get((plan.plan_id, limit.limit_id), ())
        span = self._span_of(plan, service.service_date)
        period = period_for(limit, plan, span, service, years) if span else None
        if period is None:
            return None
        return AccumulatorKey(plan_id=plan.plan_id, limit_id=limit.limit_id, period=period)

    def _span_of(self, plan: Plan, day: date) -> EnrollmentSpan | None:
        """The span of `plan` that covers `day`, else the first that begins after it (carry-over)."""
        spans = [span for span in self._history.spans if span.plan_id == plan.plan_id]
        covering = next((span for span in spans if span.covers(day)), None)
        return covering or min((s for s in spans if s.start > day), key=lambda s: s.start, default=None)

    def claims_of(self, candidate: Candidate) -> list[KeyedClaim]:
        """The claims of a candidate whose periods are known, each with its accumulator."""
        if candidate.plan is None or candidate.evaluation is None or candidate.visit.content is None:
            return []
        service = candidate.visit.content.service
        keyed = (
            (claim, self.key_of(claim.limit, candidate.plan, service))
            for claim in candidate.evaluation.claims
        )
        return [(claim, key) for claim, key in keyed if key is not None]

    # Units

    def tally(self, key: AccumulatorKey, limit: Limit) -> Tally:
        """The tally of an accumulator; a new one begins with what was used elsewhere."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(key=key, keeps_days=keeps_days(limit))
            for balance in self._history.opening_balances:
                mine = (balance.plan_id, balance.limit_id) == (key.plan_id, key.limit_id)
                if mine and key.period.contains(balance.service_date):
                    allowed = self.allowed_on(limit, key.period, balance.service_date)
                    room = tally.room(limit, allowed, balance.service_date)
                    tally.open(min(room, balance.quantity), balance.service_date)
                    tally.allow(allowed)
        return tally

    def allowed_on(self, limit: Limit, period: BenefitPeriod, on: date) -> int:
        """What all visits share on a service date: the rule's units and the overrides that serve it."""
        return limit.allowed + sum(
            override.quantity
            for override in self._history.overrides
            if override.visit_id is None
            and override.limit_id == limit.limit_id
            and period.contains(override.service_date)
            and override.serves(on)
        )

    def granted_to(self, visit: Visit, limit: Limit, period: BenefitPeriod, on: date) -> int:
        """The units that overrides for this visit alone still have for it."""
        return sum(self._granted_left[name] for name in self._grants(visit, limit, period, on))

    def take_granted(self, visit: Visit, limit: Limit, period: BenefitPeriod, on: date, units: int) -> None:
        """Use up `units` of the overrides for this visit alone."""
        for name in self._grants(visit, limit, period, on):
            taken = min(units, self._granted_left[name])
            self._granted_left[name] -= taken
            units -= taken

    def _grants(self, visit: Visit, limit: Limit, period: BenefitPeriod, on: date) -> list[str]:
        return [
            override.override_id
            for override in self._history.overrides
            if override.visit_id == visit.key.visit_id
            and override.limit_id == limit.limit_id
            and period.contains(override.service_date)
            and override.serves(on)
        ]
