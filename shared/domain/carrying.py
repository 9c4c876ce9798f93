"""Counts that a change of plan brings along: what a counted visit leaves in plans that come after its own.

A carried unit is counted there only as far as there is room: it never overruns (I3).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from shared.domain.enrollment import Plan
from shared.domain.evaluation import LimitClaim
from shared.domain.history import History, Posting, Rules
from shared.domain.qualification import Candidate
from shared.domain.record import record
from shared.domain.tallies import Tallies
from shared.domain.visit import Visit, VisitKey
from shared.domain.weighing import Weighed

#: A visit's place by arrival.
Arrival = tuple[bool, int, VisitKey]


@record(frozen=True, slots=True, kw_only=True)
class _OnTheWay:
    """Units of a counted visit that are to be carried into a limit of another plan."""

    visit: Visit
    plan: Plan
    claim: LimitClaim
    units: int


def arrival_of(visit: Visit) -> Arrival:
    """Known visits by arrival; those not recorded yet behind them, by name."""
    return visit.arrival is None, visit.arrival or 0, visit.key


def is_by_date(candidate: Candidate) -> bool:
    """Whether a visit has its turn by service date; the limits that it can feed share their ordering (4)."""
    claims = candidate.evaluation.claims if candidate.evaluation else ()
    return any(claim.limit.ordering == "service_date" for claim in claims)


class Carrying:
    """What the visits of one history carry, while they have their turns.

    Usually visits ordered by arrival have their turns first, and each carries in its turn. But where some
    carry from limits ordered by service date into limits ordered by arrival (`_dated_first`), what is carried
    into the latter has its place by when its visit arrived: no visit that is recorded later takes its room,
    and it pushes out none that came before. Turns are then taken stay by stay, in the order in which the
    member was in the plans (`_stays`), so that what is carried is on its way by then. Where the member comes
    back to a plan with limits ordered by arrival there is no such order (`_stays` is None), and visits
    ordered by service date go first.
    """

    def __init__(
        self, history: History, rules: Rules, tallies: Tallies, candidates: Iterable[Candidate]
    ) -> None:
        """Begin with nothing on its way; `tallies` are those that the visits are counted in."""
        self._history = history
        self._rules = rules
        self._tallies = tallies
        self._on_the_way: list[_OnTheWay] = []
        self._dated_first = any(
            claim.limit.ordering == "received"
            for candidate in candidates
            if candidate.disposition is None and is_by_date(candidate)
            for _, claim in carried_claims(history, rules, candidate)
        )
        self._stays = _stays_in_turn(history, rules) if self._dated_first else None

    def place(self, candidate: Candidate) -> int:
        """What decides first whose turn comes before another's; see the class."""
        if self._stays is None:
            goes_first = is_by_date(candidate) == self._dated_first
            return 0 if goes_first else 1
        content = candidate.visit.content
        return bisect_right(self._stays, content.service.service_date) if content else 0

    def leave(self, candidate: Candidate, weighed: list[Weighed], postings: list[Posting]) -> list[Posting]:
        """What a visit that was just counted carries at once; the rest is on its way."""
        carried: list[Posting] = []
        moved = {w.claim.limit.limit_id: posting for w, posting in zip(weighed, postings, strict=True)}
        for plan, claim in carried_claims(self._history, self._rules, candidate):
            own = moved.get(claim.limit.limit_id)
            if own is None:
                continue
            item = _OnTheWay(visit=candidate.visit, plan=plan, claim=claim, units=own.units)
            waits = self._stays is not None or (self._dated_first and is_by_date(candidate))
            if waits and claim.limit.ordering == "received":
                self._on_the_way.append(item)
            elif posting := self._carry(item):
                carried.append(posting)
        return carried

    def bring(self, before: Candidate | None = None) -> list[tuple[VisitKey, Posting]]:
        """Carry what is on its way, or into a candidate's plan of visits that arrived before its own."""
        due = [
            item
            for item in self._on_the_way
            if before is None
            or (item.plan == before.plan and arrival_of(item.visit) < arrival_of(before.visit))
        ]
        carried = []
        for item in sorted(due, key=lambda item: arrival_of(item.visit)):
            self._on_the_way.remove(item)
            if posting := self._carry(item):
                carried.append((item.visit.key, posting))
        return carried

    def _carry(self, item: _OnTheWay) -> Posting | None:
        assert item.visit.content is not None, "a counted visit has content"
        limit, service = item.claim.limit, item.visit.content.service
        on = service.service_date
        key = self._tallies.key_of(limit, item.plan, service)
        units = min(item.units, self._tallies.room(key, limit, on)) if key else 0
        if key is None or not units:
            return None
        tally, allowed = self._tallies.tally(key, limit), self._tallies.allowed_on(limit, key, on)
        tally.allow(allowed)
        tally.carry(units, on)
        return Posting(key=key, on=on, units=units, allowed=allowed, carried=True)


def _stays_in_turn(history: History, rules: Rules) -> tuple[date, ...] | None:
    """When each stay of the member in a plan begins; None if one comes back to limits ordered by arrival."""
    stays: list[date] = []
    left: set[str] = set()
    now: str | None = None
    for span in sorted(history.spans, key=lambda span: span.start):
        if span.plan_id == now:
            continue
        limits = rules.limits_on(history.payer_id, history.plans[span.plan_id], span.start)
        if span.plan_id in left and any(limit.ordering == "received" for limit, _ in limits):
            return None
        stays.append(span.start)
        left.add(span.plan_id)
        now = span.plan_id
    return tuple(stays)


def carried_claims(history: History, rules: Rules, candidate: Candidate) -> Sequence[tuple[Plan, LimitClaim]]:
    """What a visit claims in plans the member changes into after it and that bring its count along.

    A limit's own `carry_over` goes before the plan's.
    """
    own, content, situation = candidate.plan, candidate.visit.content, candidate.situation
    if own is None or content is None or situation is None or len(history.spans) < 2:
        return ()
    on = content.service.service_date
    later = {span.plan_id for span in history.spans if span.start > on} - {own.plan_id}
    claims: list[tuple[Plan, LimitClaim]] = []
    for plan in (history.plans[plan_id] for plan_id in sorted(later)):
        for claim in rules.evaluate(replace(situation, plan=plan)).claims:
            brings = claim.limit.carry_over or plan.carry_over
            if brings == "all" or (brings == "same_product" and plan.same_product(own)):
                claims.append((plan, claim))
    return claims
