"""Adjudication: the fold of a member's history into accumulators, dispositions and holds.

The one place that decides who gets the last unit. It knows no clock, socket or framework. Section
numbers below are the contract's.

`Fold` works in one pass over the visits in their order. Holds are reserved before it begins, since
their units are ahead of the order (4); a visit that posts a hold finds its reservation on its turn.
`append` gives a plain new visit its turn without folding again; a property test shows it equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey, Tally
from shared.domain.enrollment import Plan
from shared.domain.evaluation import Evaluation, LimitClaim, Source
from shared.domain.history import (
    Claimed,
    History,
    HoldOutcome,
    MemberState,
    Posting,
    Rules,
    VisitOutcome,
)
from shared.domain.limit import Limit
from shared.domain.limit_reasons import counted_within, limit_reached
from shared.domain.qualification import (
    DUPLICATE_REJECTED,
    PERIOD_UNKNOWN,
    POSSIBLE_DUPLICATE,
    Candidate,
    duplicate_keys,
    qualify,
    settle,
    situation_of,
)
from shared.domain.reservations import Reservations
from shared.domain.service import Service
from shared.domain.tallies import Tallies
from shared.domain.visit import Visit, VisitContent, VisitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What the rules say of a service that is asked about, and how it stands to each limit."""

    evaluation: Evaluation
    weighed: tuple[Weighed, ...]
    plan: Plan | None


def adjudicate(history: History, rules: Rules) -> MemberState:
    """The state that a history adds up to (I4).

    Raises nothing of its own; what the rules cannot answer is a disposition, not an error.
    """
    return Fold(history, rules).state()


class Fold:
    """A member's history folded, ready to take further plain visits at its end."""

    def __init__(self, history: History, rules: Rules, standing: Iterable[Accumulator] = ()) -> None:
        """Fold the whole of `history` in the order its limits ask for (4).

        With `standing`, go on from those accumulators: `history` then names only visits and holds
        that they do not contain.
        """
        self.history = history
        self._rules = rules
        self._outcomes: dict[VisitKey, VisitOutcome] = {}
        self._seen: set[tuple[date, str, str]] = set()
        self._last_arrival = max((visit.arrival or 0 for visit in history.visits), default=0)
        candidates = [self._qualified(visit) for visit in sorted(history.visits, key=_arrival_of)]
        self._tallies = Tallies(history, standing)
        self._tallies.open_years(candidates)
        self._reservations = Reservations(history, rules, self._tallies, candidates)
        for candidate in sorted(candidates, key=_turn):
            self._take_turn(candidate)
        self._reservations.end()

    # What comes out

    def state(self) -> MemberState:
        """The frozen state reached so far."""
        return MemberState(
            accumulators={key: state for key in self._tallies if (state := self.accumulator(key))},
            visits=dict(self._outcomes),
            holds=dict(self._reservations.outcomes),
        )

    def outcome(self, key: VisitKey) -> VisitOutcome | None:
        """What became of one visit."""
        return self._outcomes.get(key)

    def hold(self, hold_id: str) -> HoldOutcome:
        """What became of one hold."""
        return self._reservations.outcomes[hold_id]

    def accumulator(self, key: AccumulatorKey) -> Accumulator | None:
        """One accumulator's state; None where nothing has claimed any unit."""
        tally = self._tallies.find(key)
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

    # A visit's turn

    def _take_turn(self, candidate: Candidate) -> None:
        """Give a visit its turn: count it where every limit it feeds has room (4)."""
        plan_id = candidate.plan.plan_id if candidate.plan else None
        if candidate.disposition is None:
            candidate = self._numbered(candidate)
        if candidate.disposition is not None:
            self._outcomes[candidate.visit.key] = VisitOutcome(
                disposition=candidate.disposition, reasons=candidate.reasons, plan_id=plan_id
            )
            return
        reserved = self._reservations.units_for(candidate)
        weighed = self._weigh(candidate, reserved)
        if not weighed:
            outcome = VisitOutcome(disposition="not_countable", reasons=(PERIOD_UNKNOWN,), plan_id=plan_id)
        else:
            outcome = self._place(candidate, weighed, posts_hold=bool(reserved))
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
            (claim.limit.limit_id, self._tallies.tally(key, claim.limit).visits + 1)
            for claim, key in self._tallies.claims_of(candidate)
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

    def _weigh(self, candidate: Candidate, reserved: Mapping[AccumulatorKey, int]) -> list[Weighed]:
        """Each claim against its accumulator; empty when one of its periods is not known."""
        visit, evaluation = candidate.visit, candidate.evaluation
        claims = self._tallies.claims_of(candidate)
        if visit.content is None or evaluation is None or len(claims) < len(evaluation.claims):
            return []
        on = visit.content.service.service_date
        weighed = []
        for claim, key in claims:
            limit, tally = claim.limit, self._tallies.tally(key, claim.limit)
            quantity = 0 if limit.measure == "service_day" and tally.counted_on(on) else claim.quantity
            granted = min(quantity, self._tallies.granted_to(visit, limit, key.period, on))
            allowed = self._tallies.allowed_on(limit, key.period, on)
            weighed.append(
                Weighed(
                    claim=claim,
                    key=key,
                    tally=tally,
                    quantity=quantity,
                    allowed=allowed,
                    granted=granted,
                    reserved=min(reserved.get(key, 0), quantity - granted),
                    room=tally.room(
                        limit, allowed, on, up_to=on if limit.ordering == "service_date" else None
                    ),
                )
            )
        return weighed

    def _place(self, candidate: Candidate, weighed: list[Weighed], *, posts_hold: bool) -> VisitOutcome:
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
        if posts_hold:
            self._reservations.post(candidate.visit)
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

    def _count(self, candidate: Candidate, weighed: Weighed, units: int) -> Posting:
        """Move units of one accumulator to the visit."""
        visit, tally = candidate.visit, weighed.tally
        on = visit.content.service.service_date  # type: ignore[union-attr]  # it qualified
        granted = min(units, weighed.granted)
        self._tallies.take_granted(visit, weighed.claim.limit, weighed.key.period, on, granted)
        posting = Posting(
            key=weighed.key,
            on=on,
            units=units,
            granted=granted,
            allowed=weighed.allowed + granted,
        )
        tally.allow(weighed.allowed)
        tally.count(units, granted, on)
        return posting

    def _carry(self, candidate: Candidate, weighed: list[Weighed], postings: list[Posting]) -> list[Posting]:
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
                key = self._tallies.key_of(claim.limit, plan, service)
                own = moved.get(claim.limit.limit_id)
                if key is None or own is None or key == own.key:
                    continue
                tally = self._tallies.tally(key, claim.limit)
                on = service.service_date
                allowed = self._tallies.allowed_on(claim.limit, key.period, on)
                units = min(own.units, tally.room(claim.limit, allowed, on))
                carried.append(Posting(key=key, on=on, units=units, allowed=allowed, carried=True))
                tally.allow(allowed)
                tally.carry(units, on)
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

    # A service that is only asked about

    def preview(self, service: Service) -> Preview:
        """What a visit with this service would find if it were recorded now; changes no count.

        Where nothing is claimed, because it is not covered or not known to be, the limits it would
        feed if it were are weighed instead, for show.
        """
        situation = situation_of(self.history, service)
        evaluation = self._rules.evaluate(situation)
        content = VisitContent(member_id=self.history.member_id, service=service)
        asked = Candidate(
            visit=Visit(key=VisitKey(client_id="", visit_id=""), content=content),
            plan=situation.plan,
            situation=situation,
            evaluation=evaluation,
        )
        asked = self._numbered(asked)
        numbered = asked.evaluation or evaluation
        if not numbered.claims and numbered.matching_limits:
            asked = replace(asked, evaluation=replace(numbered, claims=numbered.matching_limits))
        return Preview(evaluation=numbered, weighed=tuple(self._weigh(asked, {})), plan=situation.plan)

    def standing(self, plan: Plan, limit: Limit, source: Source, service: Service) -> list[Weighed]:
        """How one limit of a plan stands on a service's date, with nothing asked of it.

        A limit that follows an authorization or an injury stands once for each that was seen.
        """
        own = self._tallies.key_of(limit, plan, service)
        seen = [key for key in self._tallies if (key.plan_id, key.limit_id) == (plan.plan_id, limit.limit_id)]
        keys = [own] if own else [key for key in seen if key.period.subject]
        on, claim = service.service_date, LimitClaim(limit=limit, quantity=0, lines=(), source=source)
        weighed = []
        for key in keys:
            tally = self._tallies.tally(key, limit)
            allowed = self._tallies.allowed_on(limit, key.period, on)
            room = tally.room(limit, allowed, on)
            weighed.append(
                Weighed(
                    claim=claim,
                    key=key,
                    tally=tally,
                    quantity=0,
                    allowed=allowed,
                    granted=0,
                    reserved=0,
                    room=room,
                )
            )
        return weighed

    def release(self, postings: Iterable[Posting]) -> None:
        """Let a pending hold's units count as free."""
        for posting in postings:
            tally = self._tallies.find(posting.key)
            if tally is not None:
                tally.hold(-posting.units, posting.on)

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
        claims = candidate.evaluation.claims if candidate.evaluation else ()
        if candidate.disposition is None and (
            any(claim.limit.ordering != "received" for claim in claims)
            or not self._tallies.open_next_years(candidate)
        ):
            self._seen = seen
            return False
        self.history = replace(self.history, visits=(*self.history.visits, visit))
        self._last_arrival = visit.arrival
        self._take_turn(candidate)
        return True


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
