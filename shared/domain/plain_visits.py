"""Plain visits: what most events are, decided from the room in their limits alone.

A plain visit is new, comes last in its member's order, is the only one on its date, and belongs to a
member without overrides, opening balances or merges. What it comes to is then the same for everyone with
the same rules and enrollment, but for the room that its limits have left. So the adjudication is asked
once, and its answer remembered; a property test shows it equal to the fold of the whole history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey, KeyName
from shared.domain.adjudication import Fold
from shared.domain.enrollment import EnrollmentSpan, Plan, span_on
from shared.domain.evaluation import LimitClaim
from shared.domain.history import History, Rules, VisitOutcome
from shared.domain.qualification import qualify
from shared.domain.same_day import SameDay
from shared.domain.visit import Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainClaim:
    """What a plain visit claims of one accumulator, of which `allowed` units are shared by all."""

    key: AccumulatorKey
    name: KeyName
    quantity: int
    allowed: int
    divisible: bool


@dataclass(slots=True, kw_only=True)
class PlainTurn:
    """A plain visit's turn, whoever's it is: what it claims, and what becomes of it if all of that fits.

    With no claims, `outcome` is what the rules settle by themselves. `least_first` are the places of the
    claims, those that ask for least before the others.
    """

    visit: Visit
    on: date
    claims: tuple[PlainClaim, ...]
    outcome: VisitOutcome
    least_first: tuple[int, ...]
    _history: History
    _rules: Rules
    _over: dict[int, VisitOutcome | None] = field(default_factory=dict)

    def over(self, place: int) -> VisitOutcome | None:
        """What becomes of it when the claim at `place` is the first that has no room; None if not known."""
        if place not in self._over:
            claim = self.claims[place]
            full = Accumulator(
                key=claim.key,
                used=claim.allowed,
                held=0,
                granted=0,
                opening=0,
                carried=0,
                visits=claim.allowed,
                allowed=claim.allowed,
            )
            outcome = _outcome(Fold(self._history, self._rules, [full]), self.visit)
            known = outcome is not None and (outcome.disposition, outcome.binding) == (
                "over_limit",
                claim.key,
            )
            self._over[place] = outcome if known else None
        return self._over[place]


def can_take_plain(state: Accumulator) -> bool:
    """Whether a stored accumulator in use shows all that a plain visit's turn depends on.

    Not one that keeps its days, nor one in which no visit was counted, of which that cannot be told.
    """
    return not state.days and not state.held_days and state.visits > state.opening


def plain_turn(
    payer_id: str,
    spans: tuple[EnrollmentSpan, ...],
    plans: Mapping[str, Plan],
    rules: Rules,
    visit: Visit,
) -> PlainTurn | None:
    """The turn of a new visit under an enrollment; None if more than the room in limits may decide it.

    That is so with a hold or a number asked for, dates that make the order or the room, a first-service
    year, and a later change of plan that could bring the count along.
    """
    content = visit.content
    if content is None or content.hold_id is not None:
        return None
    on = content.service.service_date
    own = span_on(spans, on)
    if own is not None and any(span.start > on and span.plan_id != own.plan_id for span in spans):
        return None
    history = History(payer_id=payer_id, member_id=content.member_id, spans=spans, plans=plans)
    candidate = qualify(history, rules, visit, SameDay())
    claims = candidate.evaluation.claims if candidate.evaluation and not candidate.disposition else ()
    numbered = candidate.evaluation is not None and candidate.evaluation.uses_visit_number
    if numbered or not all(map(_is_plain, claims)):
        return None
    outcome = _outcome(Fold(history, rules), visit)
    if outcome is None:
        return None
    plain: tuple[PlainClaim, ...] = ()
    if outcome.claims:
        asked = tuple((claim.limit.limit_id, claim.limit.allowed, claim.quantity) for claim in claims)
        moved = tuple((posting.key.limit_id, posting.allowed, posting.units) for posting in outcome.postings)
        if outcome.disposition != "counted" or asked != moved:
            return None
        plain = tuple(
            PlainClaim(
                key=posting.key,
                name=posting.key.name,
                quantity=claim.quantity,
                allowed=posting.allowed,
                divisible=claim.limit.divisible,
            )
            for claim, posting in zip(claims, outcome.postings, strict=True)
        )
    return PlainTurn(
        visit=visit,
        on=on,
        claims=plain,
        outcome=outcome,
        least_first=tuple(sorted(range(len(plain)), key=lambda place: plain[place].quantity)),
        _history=history,
        _rules=rules,
    )


def _is_plain(claim: LimitClaim) -> bool:
    limit = claim.limit
    return (
        claim.quantity > 0
        and limit.ordering == "received"
        and limit.basis not in {"first_service_year", "rolling_days"}
        and not limit.keeps_days
    )


def _outcome(fold: Fold, visit: Visit) -> VisitOutcome | None:
    return fold.outcome(visit.key) if fold.append(visit) else None
