"""A visit on its turn, weighed against each limit that it feeds: what it wants and what it finds."""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.accumulator import AccumulatorKey, Tally
from shared.domain.evaluation import LimitClaim
from shared.domain.held_units import Waiting
from shared.domain.qualification import Candidate
from shared.domain.record import record
from shared.domain.service import Service
from shared.domain.tallies import KeyedClaim, Tallies


@record(frozen=True, slots=True, kw_only=True)
class Weighed:
    """One claim of a visit on its turn: what it wants and what it finds."""

    claim: LimitClaim
    key: AccumulatorKey
    tally: Tally
    quantity: int
    allowed: int
    granted: int
    promised: int
    room: int

    @property
    def fitting(self) -> int:
        """How much of the quantity fits, all or nothing unless the measure is divisible."""
        own = self.granted + self.promised
        fits = min(self.quantity, own + self.room)
        return fits if self.claim.limit.divisible or fits == self.quantity else 0


def weigh(
    tallies: Tallies,
    candidate: Candidate,
    waiting: Waiting | None,
    *,
    asked_only: bool = False,
    claims: Sequence[KeyedClaim] | None = None,
) -> list[Weighed]:
    """Each claim against its accumulator; empty when one of its periods is not known.

    `waiting` is the hold that the visit would post. A service that is `asked_only` has not had its
    turn in the order of service dates: units of later dates would make way for it. `claims` are the
    candidate's, where they are at hand.
    """
    visit, evaluation = candidate.visit, candidate.evaluation
    claims = tallies.claims_of(candidate) if claims is None else claims
    if visit.content is None or evaluation is None or len(claims) < len(evaluation.claims):
        return []
    on = visit.content.service.service_date
    weighed = []
    for claim, key in claims:
        limit = claim.limit
        tally = tallies.asked(key, limit) if asked_only else tallies.tally(key, limit)
        quantity = 0 if limit.measure == "service_day" and tally.counted_on(on) else claim.quantity
        granted = min(quantity, tallies.granted_to(visit, limit, key, on))
        allowed = tallies.allowed_on(limit, key, on)
        up_to = on if asked_only and limit.ordering == "service_date" else None
        held = waiting.units.get(key, 0) if waiting is not None else 0
        moved = limit.basis == "rolling_days" and waiting is not None and waiting.on != on
        if moved and waiting is not None:
            # A unit held in another window is no promise for this one: here it only makes way.
            tally.hold(-held, waiting.on)
            room = tally.room(limit, allowed, on, up_to=up_to)
            tally.hold(held, waiting.on)
        else:
            room = tally.room(limit, allowed, on, up_to=up_to)
        weighed.append(
            Weighed(
                claim=claim,
                key=key,
                tally=tally,
                quantity=quantity,
                allowed=allowed,
                granted=granted,
                promised=0 if moved else min(held, quantity - granted),
                room=room,
            )
        )
    return weighed


def fitting_units(service: Service, weighed: Sequence[Weighed]) -> list[int]:
    """How many units of each claim count when not all of them fit, line by line and unit by unit.

    A unit of a line counts where every divisible limit that the line feeds still has room for it, so
    that none is used up in one limit for what another one refused.
    """
    units = [0 if w.claim.limit.divisible else w.quantity for w in weighed]
    for number, line in enumerate(service.lines):
        fed = [n for n, w in enumerate(weighed) if w.claim.limit.divisible and number in w.claim.lines]
        for unit in range(line.quantity):
            moved = [n for n in fed if unit == 0 or weighed[n].claim.limit.measure == "unit"]
            if any(units[n] >= weighed[n].fitting for n in moved):
                break
            for n in moved:
                units[n] += 1
    return units
