"""Adjudication: the fold of a member's history into accumulators, dispositions and holds.

The one place that decides who gets the last unit. It knows no clock, socket or framework. Section
numbers below are the contract's.

`Fold` takes the visits in their order. Holds take their units before the first turn, since these are
ahead of the order (4); a visit that posts a hold finds its units waiting on its turn. Should a hold turn
out to be posted by nobody, or by a visit that uses less of it, the turns are taken again without what
it kept from others. `append` gives a plain new visit its turn without folding again; a property test
shows it equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey
from shared.domain.carrying import Arrival, Carrying, arrival_of, carried_claims, is_by_date
from shared.domain.enrollment import Plan
from shared.domain.evaluation import Evaluation, LimitClaim, Source
from shared.domain.held_units import Correction, HeldUnits, years_held_open
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
from shared.domain.numbering import may_follow_later_dates, numbered
from shared.domain.qualification import (
    DUPLICATE_REJECTED,
    PERIOD_UNKNOWN,
    Candidate,
    DuplicateKey,
    duplicate_keys,
    possible_duplicate,
    qualify,
    situation_of,
)
from shared.domain.record import record
from shared.domain.same_day import SameDay
from shared.domain.service import Service
from shared.domain.tallies import Tallies, YearOpening
from shared.domain.visit import Visit, VisitContent, VisitKey
from shared.domain.weighing import Weighed, fitting_units, weigh


@record(frozen=True, slots=True, kw_only=True)
class Preview:
    """What the rules say of a service that is asked about, and how it stands to each limit.

    `claimed` are the accumulators that it claims as a first visit would, before it is given its number.
    """

    evaluation: Evaluation
    weighed: tuple[Weighed, ...]
    plan: Plan | None
    claimed: tuple[AccumulatorKey, ...]


def adjudicate(history: History, rules: Rules) -> MemberState:
    """The state that a history adds up to (I4).

    Raises nothing of its own; what the rules cannot answer is a disposition, not an error.
    """
    return Fold(history, rules).state()


class Fold:
    """A member's history folded, ready to take further plain visits at its end."""

    def __init__(
        self,
        history: History,
        rules: Rules,
        standing: Iterable[Accumulator] = (),
        day_codes: Mapping[date, Iterable[str]] | None = None,
        openings: Iterable[YearOpening] = (),
    ) -> None:
        """Fold the whole of `history` in the order its limits ask for (4).

        With `standing`, go on from those accumulators: `history` then names only visits and holds
        that they do not contain, and `day_codes` the codes of the visits that it leaves out. `openings`
        are first-service years that a visit which is only asked about would open.
        """
        self.history = history
        self._rules = rules
        arrivals = [visit.arrival or 0 for visit in history.visits]
        self._last_arrival = max([*arrivals, *(hold.arrival for hold in history.holds)], default=0)
        self._same_day = SameDay(history.visits, day_codes)
        candidates = [
            qualify(history, rules, visit, self._same_day) for visit in sorted(history.visits, key=arrival_of)
        ]
        held_open = years_held_open(history, rules, self._same_day, candidates)
        years = [*self._years_opened(candidates), *held_open, *openings]
        corrections: Mapping[str, Correction] | None = {}
        standing = tuple(standing)
        while corrections is not None:
            self._outcomes: dict[VisitKey, VisitOutcome] = {}
            # What was done when and by whom, with the first visit that says so.
            self._seen: dict[DuplicateKey, VisitKey] = {}
            self._tallies = Tallies(history, standing)
            self._tallies.open_years(years)
            self._tallies.open_balances(rules)
            self._held = HeldUnits(history, rules, self._tallies, self._same_day, candidates, corrections)
            self._carrying = Carrying(history, rules, self._tallies, candidates)
            for candidate in sorted(candidates, key=self._turn):
                if not is_by_date(candidate):
                    self._bring_along(candidate)
                self._take_turn(candidate)
            self._bring_along()
            corrections = self._held.corrections()

    # What comes out

    def state(self) -> MemberState:
        """The frozen state reached so far."""
        return MemberState(
            accumulators={key: state for key in self._tallies if (state := self.accumulator(key))},
            visits=dict(self._outcomes),
            holds=dict(self._held.outcomes),
        )

    def outcome(self, key: VisitKey) -> VisitOutcome | None:
        """What became of one visit."""
        return self._outcomes.get(key)

    def hold(self, hold_id: str) -> HoldOutcome:
        """What became of one hold."""
        return self._held.outcomes[hold_id]

    def accumulator(self, key: AccumulatorKey) -> Accumulator | None:
        """One accumulator's state; None where nothing has claimed any unit."""
        tally = self._tallies.find(key)
        return tally.state() if tally else None

    def unused_years(self) -> list[Accumulator]:
        """An accumulator of each first-service year that is open though no unit was asked of it."""
        return self._tallies.unused_years()

    # Before the turns

    def _years_opened(self, candidates: Iterable[Candidate]) -> list[YearOpening]:
        """The dates on which qualifying visits open first-service years, also where they are carried to."""
        opened: list[YearOpening] = []
        for candidate in candidates:
            if candidate.disposition is not None or candidate.plan is None or candidate.evaluation is None:
                continue
            claims = [(candidate.plan, claim) for claim in candidate.evaluation.claims]
            on = candidate.visit.content.service.service_date  # type: ignore[union-attr]  # it qualifies
            opened += [
                (plan.plan_id, claim.limit.limit_id, on)
                for plan, claim in (*claims, *carried_claims(self.history, self._rules, candidate))
                if claim.limit.basis == "first_service_year"
            ]
        return opened

    # A visit's turn

    def _turn(self, candidate: Candidate) -> tuple[int, date, Arrival]:
        """A candidate's place: by arrival, or by service date where the limits it feeds say so (4)."""
        content = candidate.visit.content
        on = content.service.service_date if is_by_date(candidate) and content else date.min
        return self._carrying.place(candidate), on, arrival_of(candidate.visit)

    def _bring_along(self, before: Candidate | None = None) -> None:
        """Carry what is on its way, or into a candidate's plan of visits that arrived before its own."""
        for key, posting in self._carrying.bring(before):
            outcome = self._outcomes[key]
            # By plan, whichever was carried first.
            postings = sorted((*outcome.postings, posting), key=lambda p: p.key.plan_id if p.carried else "")
            self._outcomes[key] = replace(outcome, postings=tuple(postings))

    def _take_turn(self, candidate: Candidate) -> None:
        """Give a visit its turn, and say so where it names a hold and leaves that as it is."""
        outcome = self._decided(candidate)
        left = self._held.left_by(candidate.visit)
        if left is not None:
            outcome = replace(outcome, reasons=(*outcome.reasons, left))
        self._outcomes[candidate.visit.key] = outcome

    def _decided(self, candidate: Candidate) -> VisitOutcome:
        """What becomes of a visit on its turn: counted where every limit it feeds has room (4)."""
        plan_id = candidate.plan.plan_id if candidate.plan else None
        candidate = numbered(self._rules, self._tallies, candidate)
        if candidate.disposition is None:
            candidate = self._compared(candidate)
        if candidate.disposition is not None:
            return VisitOutcome(disposition=candidate.disposition, reasons=candidate.reasons, plan_id=plan_id)
        waiting = self._held.waiting_for(candidate)
        weighed = weigh(self._tallies, candidate, waiting)
        if not weighed:
            return VisitOutcome(disposition="not_countable", reasons=(PERIOD_UNKNOWN,), plan_id=plan_id)
        for name in duplicate_keys(candidate):
            self._seen.setdefault(name, candidate.visit.key)
        return self._place(candidate, weighed, posts_hold=waiting is not None)

    def _compared(self, candidate: Candidate) -> Candidate:
        """The candidate, set aside if it may repeat a countable visit that arrived before it (4).

        Both orders give an earlier-arrived visit of the same date its turn first.
        """
        visit = candidate.visit
        names = duplicate_keys(candidate)
        earlier = next((self._seen[name] for name in names if name in self._seen), None)
        if candidate.disposition is not None or earlier is None or visit.duplicate_decision == "accepted":
            return candidate
        if visit.duplicate_decision == "rejected":
            return replace(candidate, disposition="not_countable", reasons=(DUPLICATE_REJECTED,))
        reasons = (possible_duplicate(visit, earlier),)
        return replace(candidate, disposition="possible_duplicate", reasons=reasons)

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
        service = candidate.visit.content.service  # type: ignore[union-attr]  # it qualified
        units = [w.quantity for w in weighed]
        short = [w for w in weighed if w.fitting < w.quantity]
        if short:
            units = fitting_units(service, weighed)
        if posts_hold:
            used = {
                w.key: min(n - min(n, w.granted), w.promised) for w, n in zip(weighed, units, strict=True)
            }
            self._held.post(candidate.visit, used)
        postings = [self._count(candidate, w, n) for w, n in zip(weighed, units, strict=True)]
        postings += self._carrying.leave(candidate, weighed, postings)
        return VisitOutcome(
            disposition="partially_counted" if short else "counted",
            reasons=tuple(counted_within(w.claim, w.allowed, min(w.quantity, w.granted)) for w in weighed),
            postings=tuple(postings),
            claims=claims,
            binding=min(short, key=lambda w: w.fitting).key if short else None,
            plan_id=plan_id,
        )

    def _count(self, candidate: Candidate, weighed: Weighed, units: int) -> Posting:
        """Move units of one accumulator to the visit."""
        visit, tally = candidate.visit, weighed.tally
        on = visit.content.service.service_date  # type: ignore[union-attr]  # it qualified
        granted = min(units, weighed.granted)
        self._tallies.take_granted(visit, weighed.claim.limit, weighed.key, on, granted)
        posting = Posting(
            key=weighed.key,
            on=on,
            units=units,
            granted=granted,
            allowed=weighed.allowed + granted,
        )
        tally.allow(weighed.allowed)
        tally.count(units, granted, on, ahead=min(units - granted, weighed.promised))
        return posting

    # A service that is only asked about

    def preview(self, service: Service, recent_service_dates: tuple[date, ...] = ()) -> Preview:
        """What a visit with this service would find if it were recorded now; changes no count.

        Where nothing is claimed, because it is not covered or not known to be, the limits it would
        feed if it were are weighed instead, for show. `recent_service_dates` are for advice only.
        """
        codes = self._same_day.codes_before(service.service_date)
        situation = situation_of(
            self.history, service, same_day_codes=codes, recent_service_dates=recent_service_dates
        )
        evaluation = self._rules.evaluate(situation)
        content = VisitContent(member_id=self.history.member_id, service=service)
        asked = Candidate(
            visit=Visit(key=VisitKey(client_id="", visit_id=""), content=content),
            plan=situation.plan,
            situation=situation,
            evaluation=evaluation,
        )
        claims = self._tallies.claims_of(asked)
        placed = numbered(self._rules, self._tallies, asked, asked_only=True)
        found = placed.evaluation or evaluation
        if not found.claims and found.matching_limits:
            placed = replace(placed, evaluation=replace(found, claims=found.matching_limits))
        weighed = weigh(
            self._tallies, placed, None, asked_only=True, claims=claims if placed is asked else None
        )
        claimed = tuple(key for _, key in claims)
        return Preview(evaluation=found, weighed=tuple(weighed), plan=situation.plan, claimed=claimed)

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
            tally = self._tallies.asked(key, limit)
            allowed = self._tallies.allowed_on(limit, key, on)
            room = tally.room(limit, allowed, on)
            weighed.append(
                Weighed(
                    claim=claim,
                    key=key,
                    tally=tally,
                    quantity=0,
                    allowed=allowed,
                    granted=0,
                    promised=0,
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
        arrived before others or before a hold (which may be for the same day), names a hold, has units
        of its own, opens an earlier first-service year, or feeds a limit ordered by service date.
        """
        if visit.arrival is None or visit.arrival <= self._last_arrival or visit.key in self._outcomes:
            return False
        content = visit.content
        if content is None or visit.voided or content.hold_id is not None:
            return False
        if any(override.visit_id == visit.key.visit_id for override in self.history.overrides):
            return False
        candidate = qualify(self.history, self._rules, visit, self._same_day)
        claims = candidate.evaluation.claims if candidate.evaluation else ()
        if candidate.disposition is None and (
            any(claim.limit.ordering != "received" for claim in claims)
            or any(
                claim.limit.ordering != "received" or claim.limit.basis == "first_service_year"
                for _, claim in carried_claims(self.history, self._rules, candidate)
            )
            or not self._tallies.open_next_years(candidate)
        ):
            return False
        if may_follow_later_dates(self._rules, candidate):
            return False
        self.history = replace(self.history, visits=(*self.history.visits, visit))
        self._last_arrival = visit.arrival
        self._same_day.add(visit)
        self._take_turn(candidate)
        self._bring_along()
        return True
