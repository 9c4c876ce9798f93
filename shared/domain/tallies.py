"""A member's tallies during a fold: which accumulator a claim falls in, and what is allowed there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from shared.domain.accumulator import Accumulator, AccumulatorKey, Tally
from shared.domain.benefit_period import (
    BenefitPeriod,
    first_service_year,
    first_service_years,
    period_for,
)
from shared.domain.enrollment import EnrollmentSpan, Plan, span_on
from shared.domain.evaluation import LimitClaim
from shared.domain.history import History, Rules
from shared.domain.hold import OpeningBalance, Override
from shared.domain.limit import Limit
from shared.domain.qualification import Candidate
from shared.domain.service import Service
from shared.domain.visit import Visit

Years = tuple[tuple[date, date], ...]
KeyedClaim = tuple[LimitClaim, AccumulatorKey]
#: A plan and limit id, and a service date that opens a first-service year there if none holds it.
YearOpening = tuple[str, str, date]


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

    def open_years(self, openings: Iterable[YearOpening]) -> None:
        """Open the first-service years of each plan and limit, unit left or not (contract section 3).

        An opening balance says that the year it names was open elsewhere.
        """
        opened: dict[tuple[str, str], set[date]] = {}
        for key in self._tallies:
            if key.period.basis == "first_service_year":
                opened.setdefault((key.plan_id, key.limit_id), set()).add(key.period.start)
        for plan_id, limit_id, on in openings:
            opened.setdefault((plan_id, limit_id), set()).add(on)
        for balance in self._history.opening_balances:
            if balance.quantity:
                name = (balance.plan_id, balance.limit_id)
                opened.setdefault(name, set()).add(balance.service_date)
        self._years = {name: first_service_years(days) for name, days in opened.items()}

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

    def unused_years(self) -> list[Accumulator]:
        """An empty accumulator of each first-service year that is open though nothing was claimed of it."""
        opened = (
            AccumulatorKey(
                plan_id=plan_id,
                limit_id=limit_id,
                period=BenefitPeriod(basis="first_service_year", start=start, end=end),
            )
            for (plan_id, limit_id), years in self._years.items()
            for start, end in years
        )
        return [Tally(key=key).state() for key in opened if key not in self._tallies]

    def key_of(self, limit: Limit, plan: Plan, service: Service) -> AccumulatorKey | None:
        """The accumulator a service falls in; None when what names its period is not known."""
        years = self._years.get((plan.plan_id, limit.limit_id), ())
        span = self._span_of(plan, service.service_date)
        period = period_for(limit, plan, span, service, years) if span else None
        if period is None:
            return None
        return AccumulatorKey(plan_id=plan.plan_id, limit_id=limit.limit_id, period=period)

    def would_open(self, key: AccumulatorKey, on: date) -> tuple[date, date] | None:
        """The first-service year that a date would open because none that is open holds it."""
        if key.period.basis != "first_service_year":
            return None
        year = first_service_year(on)
        known = self._years.get((key.plan_id, key.limit_id), ())
        return None if any(start <= on < end for start, end in known) else year

    def _span_of(self, plan: Plan, day: date) -> EnrollmentSpan | None:
        """The span of `plan` that covers `day`, else the next to begin (carry-over), else the last."""
        spans = [span for span in self._history.spans if span.plan_id == plan.plan_id]
        open_yet = [span for span in spans if span.end is None or day < span.end]
        if open_yet:
            return min(open_yet, key=lambda span: span.start)
        return max(spans, key=lambda span: span.start, default=None)

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
        """The tally of an accumulator, a new one if nothing has claimed it before."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(key=key)
        tally.keeps_days |= limit.keeps_days
        return tally

    def asked(self, key: AccumulatorKey, limit: Limit) -> Tally:
        """The tally of an accumulator as a service that is only asked about finds it; claims nothing.

        A date before an open first-service year would open it sooner: it finds that year's units, all of
        them, though a few may come to lie after its end. Only visits tell which (`determination.with_years`).
        """
        tally = self._tallies.get(key)
        if tally is not None:
            return tally
        asked = Tally(key=key, keeps_days=limit.keeps_days)
        if key.period.basis == "first_service_year":
            for other, found in self._tallies.items():
                same = (other.plan_id, other.limit_id) == (key.plan_id, key.limit_id)
                if same and key.period.contains(other.period.start):
                    asked.join(found)
        return asked

    def room(self, key: AccumulatorKey, limit: Limit, on: date) -> int:
        """The units that a service finds on a date; claims nothing."""
        tally = self._tallies.get(key) or Tally(key=key)
        return tally.room(limit, self.allowed_on(limit, key, on), on)

    def open_balances(self, rules: Rules) -> None:
        """Begin accumulators with what was used elsewhere, as far as there is room for it (I3).

        Of the statements of one source on one period the one with the highest sequence stands. A
        balance names no authorization and no injury, so it cannot open their accumulators.
        """
        newest: dict[tuple[AccumulatorKey, str], tuple[OpeningBalance, Limit]] = {}
        for balance in self._history.opening_balances:
            plan = self._history.plans.get(balance.plan_id)
            stated = rules.limits_on(self._history.payer_id, plan, balance.service_date) if plan else ()
            for limit, _ in stated:
                if plan is None or limit.limit_id != balance.limit_id:
                    continue
                key = self.key_of(limit, plan, Service(service_date=balance.service_date, lines=()))
                if key is None or key in self._tallies:
                    continue
                known = newest.get((key, balance.source))
                if known is None or known[0].sequence < balance.sequence:
                    newest[key, balance.source] = (balance, limit)
        for (key, _), (balance, limit) in sorted(newest.items(), key=lambda item: item[0]):
            tally, on = self.tally(key, limit), balance.service_date
            allowed = self.allowed_on(limit, key, on)
            units = min(tally.room(limit, allowed, on), balance.quantity)
            tally.allow(allowed)
            tally.open(units, on, limit)

    def allowed_on(self, limit: Limit, key: AccumulatorKey, on: date) -> int:
        """What all visits share on a service date: the rule's units and the overrides that serve it."""
        return limit.allowed + sum(
            override.quantity
            for override in self._history.overrides
            if override.visit_id is None and self._serves(override, limit, key, on)
        )

    def granted_to(self, visit: Visit, limit: Limit, key: AccumulatorKey, on: date) -> int:
        """The units that overrides for this visit alone still have for it."""
        return sum(self._granted_left[name] for name in self._grants(visit, limit, key, on))

    def take_granted(self, visit: Visit, limit: Limit, key: AccumulatorKey, on: date, units: int) -> None:
        """Use up `units` of the overrides for this visit alone."""
        for name in self._grants(visit, limit, key, on):
            taken = min(units, self._granted_left[name])
            self._granted_left[name] -= taken
            units -= taken

    def _grants(self, visit: Visit, limit: Limit, key: AccumulatorKey, on: date) -> list[str]:
        return [
            override.override_id
            for override in self._history.overrides
            if override.visit_id == visit.key.visit_id and self._serves(override, limit, key, on)
        ]

    def _serves(self, override: Override, limit: Limit, key: AccumulatorKey, on: date) -> bool:
        """Whether an override grants units to an accumulator on a service date.

        Its own service date names the plan (any, if the member is in none that day) and the period: of
        a rolling limit every window that contains it. It names no authorization and no injury, so it
        serves each of those.
        """
        if override.limit_id != limit.limit_id or not override.serves(on):
            return False
        named_on = override.service_date
        span = span_on(self._history.spans, named_on)
        if span is not None and span.plan_id != key.plan_id:
            return False
        if limit.basis == "rolling_days":
            return named_on <= on < named_on + timedelta(days=limit.rolling_days or 1)
        if limit.basis in {"authorization", "injury"}:
            return True
        if limit.basis == "first_service_year":
            # The year may be one that a service which is only asked about would open.
            return key.period.contains(named_on)
        plan = self._history.plans[key.plan_id]
        return self.key_of(limit, plan, Service(service_date=named_on, lines=())) == key
