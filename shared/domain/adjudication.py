"""Adjudication: the fold of a member's history into accumulators, dispositions and holds.

The one place that decides who gets the last unit. It knows no clock, socket or framework. Section
numbers below are the contract's.

`Fold` works in one pass over the visits in their order. Holds are reserved before it begins, since
their units are ahead of the order (4); a visit that posts a hold finds its reservation on its turn.
`append` gives a plain new visit its turn without folding again; a property test shows it equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey, Tally, keeps_days
from shared.domain.benefit_period import BenefitPeriod, first_service_years, period_for
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.evaluation import LimitClaim
from shared.domain.history import (
    Claimed,
    History,
    HoldOutcome,
    MemberState,
    Posting,
    Rules,
    VisitOutcome,
)
from shared.domain.hold import Hold
from shared.domain.limit import Limit
from shared.domain.limit_reasons import counted_within, limit_reached
from shared.domain.qualification import (
    DUPLICATE_REJECTED,
    PERIOD_UNKNOWN,
    POSSIBLE_DUPLICATE,
    Candidate,
    claimed_limits,
    duplicate_keys,
    qualify,
    settle,
    situation_of,
)
from shared.domain.service import Service
from shared.domain.visit import Visit, VisitKey

Years = tuple[tuple[date, date], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighed:
    """One claim of a visit on its turn: what it wants and what it finds."""

    claim: LimitClaim
    key: AccumulatorKey
    tally: Tally
    quantity: int
    allowed: int
    granted: int
    reserved: int
    room: int

    @property
    def fitting(self) -> int:
        """How much of the quantity fits, all or nothing unless the measure is divisible."""
        own = self.granted + self.reserved
        fits = min(self.quantity, own + self.room)
        return fits if self.claim.limit.divisible or fits == self.quantity else 0


def adjudicate(history: History, rules: Rules) -> MemberState:
    """The state that a history adds up to (I4).

    Raises nothing of its own; what the rules cannot answer is a disposition, not an error.
    """
    return Fold(history, rules).state()


class Fold:
    """A member's history folded, ready to take further plain visits at its end."""

    def __init__(self, history: History, rules: Rules) -> None:
        """Fold the whole of `history` in the order its limits ask for (4)."""
        self.history = history
        self._rules = rules
        self._tallies: dict[AccumulatorKey, Tally] = {}
        self._outcomes: dict[VisitKey, VisitOutcome] = {}
        self._holds: dict[str, HoldOutcome] = {}
        self._reserved: dict[str, dict[AccumulatorKey, int]] = {}
        self._seen: set[tuple[date, str, str]] = set()
        self._last_arrival = max((visit.arrival or 0 for visit in history.visits), default=0)
        candidates = [self._qualified(visit) for visit in sorted(history.visits, key=_arrival_of)]
        self._years = self._open_years(candidates)
        self._granted_left = {
            override.override_id: override.quantity
            for override in history.overrides
            if override.visit_id is not None
        }
        for hold in sorted(history.holds, key=lambda hold: hold.arrival):
            self._reserve(hold, candidates)
        for candidate in sorted(candidates, key=_turn):
            self._take_turn(candidate)

    # What comes out

    def state(self) -> MemberState:
        """The frozen state reached so far."""
        return MemberState(
            accumulators={key: tally.state() for key, tally in self._tallies.items()},
            visits=dict(self._outcomes),
            holds=dict(self._holds),
        )

    def outcome(self, key: VisitKey) -> VisitOutcome | None:
        """What became of one visit."""
        return self._outcomes.get(key)

    def hold(self, hold_id: str) -> HoldOutcome:
        """What became of one hold."""
        return self._holds[hold_id]

    def accumulator(self, key: AccumulatorKey) -> Accumulator | None:
        """One accumulator's state; None where nothing has claimed any unit."""
        tally = self._tallies.get(key)
        return tally.state() if tally else None

    # Before the turns

    def _qualified(self, visit: Visit) -> Candidate:
        """The candidate for a visit, after looking for an earlier-arrived one it may repeat (4)."""
        candidate = qualify(self.history, self._rules, visit)
        if candidate.disposition is not None:
            return candidate
        keys = duplicate_keys(candidate)
        if visit.duplicate_decision != "accepted" and keys & self._seen:
            if visit.duplicate_decision == "rejected":
                return replace(candidate, disposition="not_countable", reasons=(DUPLICATE_REJECTED,))
            return replace(candidate, disposition="possible_duplicate", reasons=(POSSIBLE_DUPLICATE,))
        self._seen |= keys
        return candidate

    def _open_years(self, candidates: Iterable[Candidate]) -> dict[tuple[str, str], Years]:
        """The first-service years of each plan and limit, unit left or not (3)."""
        opened: dict[tuple[str, str], set[date]] = {}
        for candidate, claim in claimed_limits(candidates):
            if claim.limit.basis == "first_service_year" and candidate.plan and candidate.visit.content:
                days = opened.setdefault((candidate.plan.plan_id, claim.limit.limit_id), set())
                days.add(candidate.visit.content.service.service_date)
        for balance in self.history.opening_balances:
            if (balance.plan_id, balance.limit_id) in opened:
                opened[balance.plan_id, balance.limit_id].add(balance.service_date)
        return {key: first_service_years(days) for key, days in opened.items()}

    def _reserve(self, hold: Hold, candidates: Iterable[Candidate]) -> None:
        """Reserve a hold's units, or settle that it keeps none.

        The first visit to name it, if it arrived before the hold ended, speaks for it: a no-show, a
        cancelled or voided visit releases it; one that qualifies for the same limits and periods
        posts it on its turn. A hold that finds no room any more, because what it was granted under
        has changed, stays pending and keeps nothing, so that I3 holds.
        """
        naming = next((c for c in candidates if _names(c.visit, hold)), None)
        if naming is not None and naming.visit.content is not None:
            if naming.visit.voided or naming.visit.content.visit_status != "completed":
                self._holds[hold.hold_id] = HoldOutcome(state="released", posted_by=naming.visit.key)
                return
        wanted = {key: (claim, tally) for claim, key, tally in self._claims_of_hold(hold)}
        fits = naming is not None and naming.disposition is None and self._fits(naming, set(wanted))
        if hold.ended_by is not None and not fits:
            self._holds[hold.hold_id] = HoldOutcome(state=hold.end_state or "released")
            return
        on = hold.service.service_date
        room = all(
            tally.room(claim.limit, self.allowed_on(claim.limit, key.period, on), on) >= hold.quantity
            for key, (claim, tally) in wanted.items()
        )
        units = dict.fromkeys(wanted, hold.quantity) if room else {}
        if fits and naming is not None and room:
            named = {key: quantity for _, key, quantity in self._claims_of(naming)}
            units = {key: min(quantity, named[key]) for key, quantity in units.items()}
        for key, quantity in units.items():
            claim, tally = wanted[key]
            tally.allowed_shared = max(tally.allowed_shared, self.allowed_on(claim.limit, key.period, on))
            tally.hold(quantity, on)
        self._reserved[hold.hold_id] = units
        self._holds[hold.hold_id] = HoldOutcome(
            state="pending",
            postings=tuple(Posting(key=key, on=on, units=quantity) for key, quantity in units.items()),
        )

    def _fits(self, candidate: Candidate, keys: set[AccumulatorKey]) -> bool:
        return bool(keys) and keys <= {key for _, key, _ in self._claims_of(candidate)}

    def _claims_of_hold(self, hold: Hold) -> list[tuple[LimitClaim, AccumulatorKey, Tally]]:
        situation = situation_of(self.history, hold.service)
        if situation.plan is None:
            return []
        evaluation = self._rules.evaluate(situation)
        found = []
        for claim in evaluation.claims:
            key = self.key_of(claim.limit, situation.plan, hold.service)
            if key is not None:
                found.append((claim, key, self.tally(key, claim.limit)))
        return found

    def _claims_of(self, candidate: Candidate) -> list[tuple[LimitClaim, AccumulatorKey, int]]:
        if candidate.plan is None or candidate.evaluation is None or candidate.visit.content is None:
            return []
        service = candidate.visit.content.service
        keyed = (
            (claim, self.key_of(claim.limit, candidate.plan, service))
            for claim in candidate.evaluation.claims
        )
        return [(claim, key, claim.quantity) for claim, key in keyed if key is not None]

    # Keys, tallies and what is allowed

    def key_of(self, limit: Limit, plan: Plan, service: Service) -> AccumulatorKey | None:
        """The accumulator a service falls in; None when what names its period is not known."""
        years = self._years.get((plan.plan_id, limit.limit_id), ())
        span = self._span_of(plan, service.service_date)
        period = period_for(limit, plan, span, service, years) if span else None
        return (
            AccumulatorKey(plan_id=plan.plan_id, limit_id=limit.limit_id, period=period) if period else None
        )

    def _span_of(self, plan: Plan, day: date) -> EnrollmentSpan | None:
        """The span of `plan` that covers `day`, else the first that begins after it (carry-over)."""
        spans = [span for span in self.history.spans if span.plan_id == plan.plan_id]
        covering = next((span for span in spans if span.covers(day)), None)
        return covering or min((s for s in spans if s.start > day), key=lambda s: s.start, default=None)

    def tally(self, key: AccumulatorKey, limit: Limit) -> Tally:
        """The tally of an accumulator; a new one begins with what was used elsewhere."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(key=key, keeps_days=keeps_days(limit))
            for balance in self.history.opening_balances:
                mine = (balance.plan_id, balance.limit_id) == (key.plan_id, key.limit_id)
                if mine and key.period.contains(balance.service_date):
                    allowed = self.allowed_on(limit, key.period, balance.service_date)
                    units = tally.room(limit, allowed, balance.service_date)
                    units = min(units, balance.quantity)
                    tally.used += units
                    tally.opening += units
                    tally.shared_days[balance.service_date] = units
                    tally.allowed_shared = max(tally.allowed_shared, allowed)
        return tally

    def allowed_on(self, limit: Limit, period: BenefitPeriod, on: date) -> int:
        """What all visits share on a service date: the rule's units and the overrides that serve it."""
        return limit.allowed + sum(
            override.quantity
            for override in self.history.overrides
            if override.visit_id is None
            and override.limit_id == limit.limit_id
            and period.contains(override.service_date)
            and override.serves(on)
        )

    def _granted_to(self, visit: Visit, limit: Limit, period: BenefitPeriod, on: date) -> list[str]:
        """The overrides for this visit alone that still have units for it."""
        return [
            override.override_id
            for override in self.history.overrides
            if override.visit_id == visit.key.visit_id
            and override.limit_id == limit.limit_id
            and period.contains(override.service_date)
            and override.serves(on)
            and self._granted_left[override.override_id] > 0
        ]

    # A visit's turn

    def _take_turn(self, candidate: Candidate) -> None:
        """Give a visit its turn: count it where every limit it feeds has room (4)."""
        plan_id = candidate.plan.plan_id if candidate.plan else None
        if candidate.disposition is None:
            candidate = self._numbered(candidate)
        hold = self._hold_of(candidate)
        if candidate.disposition is not None:
            self._outcomes[candidate.visit.key] = VisitOutcome(
                disposition=candidate.disposition, reasons=candidate.reasons, plan_id=plan_id
            )
            return
        weighed = self._weigh(candidate, hold)
        if not weighed:
            outcome = VisitOutcome(disposition="not_countable", reasons=(PERIOD_UNKNOWN,), plan_id=plan_id)
        else:
            outcome = self._place(candidate, weighed, hold)
        self._outcomes[candidate.visit.key] = outcome

    def _numbered(self, candidate: Candidate) -> Candidate:
        """The candidate asked again with its number, where a rule speaks of visit numbers."""
        if (
            candidate.evaluation is None
            or candidate.situation is None
            or not candidate.evaluation.uses_visit_number
        ):
            return candidate
        numbers = tuple(
            (claim.limit.limit_id, self.tally(key, claim.limit).visits + 1)
            for claim, key, _ in self._claims_of(candidate)
        )
        situation = replace(candidate.situation, visit_numbers=numbers)
        evaluation = self._rules.evaluate(situation)
        verdict = settle(evaluation)
        return replace(
            candidate,
            situation=situation,
            evaluation=evaluation,
            disposition=verdict[0] if verdict else None,
            reasons=verdict[1] if verdict else (),
        )

    def _hold_of(self, candidate: Candidate) -> str | None:
        """The hold whose reserved units wait for this visit."""
        hold_id = candidate.visit.content.hold_id if candidate.visit.content else None
        if hold_id is None or not self._reserved.get(hold_id):
            return None
        hold = next(hold for hold in self.history.holds if hold.hold_id == hold_id)
        first = min((v for v in self.history.visits if _names(v, hold)), key=_arrival_of, default=None)
        if first is None or first.key != candidate.visit.key:
            return None
        return hold_id if self._fits(candidate, set(self._reserved[hold_id])) else None

    def _weigh(self, candidate: Candidate, hold: str | None) -> list[_Weighed]:
        """Each claim against its accumulator; empty when one of its periods is not known."""
        visit, evaluation = candidate.visit, candidate.evaluation
        claims = self._claims_of(candidate)
        if visit.content is None or evaluation is None or len(claims) < len(evaluation.claims):
            return []
        on = visit.content.service.service_date
        weighed = []
        for claim, key, asked in claims:
            tally = self.tally(key, claim.limit)
            quantity = 0 if claim.limit.measure == "service_day" and tally.counted_on(on) else asked
            allowed = self.allowed_on(claim.limit, key.period, on)
            grants = self._granted_to(visit, claim.limit, key.period, on)
            granted = min(quantity, sum(self._granted_left[override_id] for override_id in grants))
            reserved = self._reserved[hold].get(key, 0) if hold else 0
            weighed.append(
                _Weighed(
                    claim=claim,
                    key=key,
                    tally=tally,
                    quantity=quantity,
                    allowed=allowed,
                    granted=granted,
                    reserved=min(reserved, quantity - granted),
                    room=tally.room(claim.limit, allowed, on),
                )
            )
        return weighed

    def _place(self, candidate: Candidate, weighed: list[_Weighed], hold: str | None) -> VisitOutcome:
        """Count the visit, or part of it, or none of it."""
        claims = tuple(Claimed(key=w.key, allowed=w.allowed + w.granted) for w in weighed)
        plan_id = candidate.plan.plan_id if candidate.plan else None
        full = next((w for w in weighed if w.quantity and not w.fitting), None)
        if full is not None:
            return VisitOutcome(
                disposition="over_limit",
                reasons=(limit_reached(full.claim, full.allowed),),
                claims=claims,
                binding=full.key,
                plan_id=plan_id,
            )
        part = min((w.fitting for w in weighed if w.fitting < w.quantity), default=None)
        if hold is not None:
            self._post_hold(hold, candidate.visit)
        postings = [
            self._count(candidate, w, w.quantity if part is None else min(w.quantity, part)) for w in weighed
        ]
        postings += self._carry(candidate, weighed, postings)
        binding = min(weighed, key=lambda w: w.allowed - w.tally.used)
        return VisitOutcome(
            disposition="counted" if part is None else "partially_counted",
            reasons=tuple(counted_within(w.claim, w.allowed) for w in weighed),
            postings=tuple(postings),
            claims=claims,
            binding=None if part is None else binding.key,
            plan_id=plan_id,
        )

    def _count(self, candidate: Candidate, weighed: _Weighed, units: int) -> Posting:
        """Move units of one accumulator to the visit."""
        visit, tally = candidate.visit, weighed.tally
        on = visit.content.service.service_date  # type: ignore[union-attr]  # it qualified
        granted = min(units, weighed.granted)
        left = granted
        for override_id in self._granted_to(visit, weighed.claim.limit, weighed.key.period, on):
            taken = min(left, self._granted_left[override_id])
            self._granted_left[override_id] -= taken
            left -= taken
        posting = Posting(
            key=weighed.key,
            on=on,
            units=units,
            granted=granted,
            allowed=weighed.allowed + granted,
        )
        tally.allowed_shared = max(tally.allowed_shared, weighed.allowed)
        tally.count(units, granted, on)
        return posting

    def _post_hold(self, hold_id: str, visit: Visit) -> None:
        """Turn a hold's reservation over to the visit that posts it."""
        hold = next(hold for hold in self.history.holds if hold.hold_id == hold_id)
        for key, units in self._reserved.pop(hold_id).items():
            self._tallies[key].hold(-units, hold.service.service_date)
        self._holds[hold_id] = HoldOutcome(state="posted", posted_by=visit.key)

    def _carry(self, candidate: Candidate, weighed: list[_Weighed], postings: list[Posting]) -> list[Posting]:
        """What this visit leaves in plans the member changes into and that bring the count along.

        A carried unit never overruns: it is counted there only as far as there is room (I3).
        """
        carried: list[Posting] = []
        situation, content = candidate.situation, candidate.visit.content
        if situation is None or content is None:
            return carried
        service = content.service
        moved = {w.claim.limit.limit_id: posting for w, posting in zip(weighed, postings, strict=True)}
        for plan in self._carrying_plans(candidate):
            evaluation = self._rules.evaluate(replace(situation, plan=plan))
            for claim in evaluation.claims:
                key = self.key_of(claim.limit, plan, service)
                own = moved.get(claim.limit.limit_id)
                if key is None or own is None or key == own.key:
                    continue
                tally = self.tally(key, claim.limit)
                on = service.service_date
                allowed = self.allowed_on(claim.limit, key.period, on)
                units = min(own.units, tally.room(claim.limit, allowed, on))
                carried.append(Posting(key=key, on=on, units=units, allowed=allowed, carried=True))
                tally.allowed_shared = max(tally.allowed_shared, allowed)
                tally.carried += units
                tally.count(units, 0, on)
        return carried

    def _carrying_plans(self, candidate: Candidate) -> list[Plan]:
        """Plans the member changes into after this visit and whose `carry_over` covers its plan."""
        own, content = candidate.plan, candidate.visit.content
        if own is None or content is None:
            return []
        later = {span.plan_id for span in self.history.spans if span.start > content.service.service_date}
        plans = (self.history.plans[plan_id] for plan_id in sorted(later - {own.plan_id}))
        return [
            plan
            for plan in plans
            if plan.carry_over == "all" or (plan.carry_over == "same_product" and plan.same_product(own))
        ]

    # A plain new visit at the end

    def append(self, visit: Visit) -> bool:
        """Take one more visit if its turn comes last and nothing before it can change.

        Returns False, having changed nothing, when only a fold of the whole history is right: it
        arrived before others, names a hold, has units of its own, opens an earlier first-service
        year, or feeds a limit ordered by service date.
        """
        if visit.arrival is None or visit.arrival <= self._last_arrival or visit.key in self._outcomes:
            return False
        content = visit.content
        if content is None or visit.voided or content.hold_id is not None:
            return False
        if any(override.visit_id == visit.key.visit_id for override in self.history.overrides):
            return False
        seen = set(self._seen)
        candidate = self._qualified(visit)
        if candidate.disposition is None and not self._joins_at_end(candidate):
            self._seen = seen
            return False
        self.history = replace(self.history, visits=(*self.history.visits, visit))
        self._last_arrival = visit.arrival
        self._take_turn(candidate)
        return True

    def _joins_at_end(self, candidate: Candidate) -> bool:
        """Whether a qualifying visit changes nothing before it; opens a first-service year if it is next."""
        if candidate.plan is None or candidate.evaluation is None or candidate.visit.content is None:
            return False
        if any(claim.limit.ordering != "received" for claim in candidate.evaluation.claims):
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


def _names(visit: Visit, hold: Hold) -> bool:
    """Whether a visit names the hold and arrived before the hold ended."""
    if visit.arrival is None or visit.content is None or visit.content.hold_id != hold.hold_id:
        return False
    return hold.ended_by is None or visit.arrival < hold.ended_by


def _arrival_of(visit: Visit) -> tuple[bool, int, VisitKey]:
    """Known visits by arrival; those not recorded yet behind them, by name."""
    return visit.arrival is None, visit.arrival or 0, visit.key


def _turn(candidate: Candidate) -> tuple[bool, date, tuple[bool, int, VisitKey]]:
    """A candidate's place: by arrival, or by service date where the limits it feeds say so (4)."""
    claims = candidate.evaluation.claims if candidate.evaluation else ()
    by_date = any(claim.limit.ordering == "service_date" for claim in claims)
    content = candidate.visit.content
    on = content.service.service_date if by_date and content else date.min
    return by_date, on, _arrival_of(candidate.visit)
