"""Holds during a fold: their units are reserved before any visit has its turn (contract section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.accumulator import AccumulatorKey
from shared.domain.evaluation import LimitClaim
from shared.domain.history import History, HoldOutcome, Posting, Rules
from shared.domain.hold import Hold
from shared.domain.qualification import Candidate, situation_of
from shared.domain.tallies import Tallies
from shared.domain.visit import Visit, VisitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The units that wait for one hold's visit; `for_visit` is the visit that may post it, if any."""

    hold: Hold
    units: dict[AccumulatorKey, int]
    for_visit: VisitKey | None


class Reservations:
    """What holds keep, and what becomes of them."""

    def __init__(
        self, history: History, rules: Rules, tallies: Tallies, candidates: Sequence[Candidate]
    ) -> None:
        """Reserve for every hold, in the order they arrived. `candidates` come in order of arrival."""
        self._history = history
        self._rules = rules
        self._tallies = tallies
        self._waiting: dict[str, Reservation] = {}
        self.outcomes: dict[str, HoldOutcome] = {}
        for hold in sorted(history.holds, key=lambda hold: hold.arrival):
            self._reserve(hold, next((c for c in candidates if _names(c.visit, hold)), None))

    def _reserve(self, hold: Hold, naming: Candidate | None) -> None:
        """Reserve a hold's units, or settle that it keeps none.

        The first visit to name it, if it arrived before the hold ended, speaks for it: a no-show, a
        cancelled or voided visit releases it; one that qualifies for the same limits and periods
        posts it on its turn. A hold that finds no room any more, because what it was granted under
        has changed, stays pending and keeps nothing, so that I3 holds.
        """
        if naming is not None and not _takes_place(naming.visit):
            self.outcomes[hold.hold_id] = HoldOutcome(state="released", posted_by=naming.visit.key)
            return
        wanted = dict(self._claims_of_hold(hold))
        named = self._quantities(naming) if naming is not None else {}
        fits = bool(wanted) and wanted.keys() <= named.keys()
        if hold.ended_by is not None and not fits:
            self.outcomes[hold.hold_id] = HoldOutcome(state=hold.end_state or "released")
            return
        units: dict[AccumulatorKey, int] = {}
        if all(self._room(hold, key, claim) >= hold.quantity for key, claim in wanted.items()):
            units = {key: min(hold.quantity, named[key]) if fits else hold.quantity for key in wanted}
        on = hold.service.service_date
        for key, quantity in units.items():
            tally = self._tallies.tally(key, wanted[key].limit)
            tally.allow(self._tallies.allowed_on(wanted[key].limit, key.period, on))
            tally.hold(quantity, on)
        for_visit = naming.visit.key if naming is not None and fits and units else None
        self._waiting[hold.hold_id] = Reservation(hold=hold, units=units, for_visit=for_visit)
        postings = tuple(Posting(key=key, on=on, units=quantity) for key, quantity in units.items())
        self.outcomes[hold.hold_id] = HoldOutcome(state="pending", postings=postings)

    def _claims_of_hold(self, hold: Hold) -> list[tuple[AccumulatorKey, LimitClaim]]:
        situation = situation_of(self._history, hold.service)
        if situation.plan is None:
            return []
        claims = self._rules.evaluate(situation).claims
        keyed = ((self._tallies.key_of(claim.limit, situation.plan, hold.service), claim) for claim in claims)
        return [(key, claim) for key, claim in keyed if key is not None]

    def _quantities(self, candidate: Candidate) -> dict[AccumulatorKey, int]:
        """What a visit asks of each accumulator; nothing if it does not qualify."""
        if candidate.disposition is not None:
            return {}
        return {key: claim.quantity for claim, key in self._tallies.claims_of(candidate)}

    def _room(self, hold: Hold, key: AccumulatorKey, claim: LimitClaim) -> int:
        on = hold.service.service_date
        allowed = self._tallies.allowed_on(claim.limit, key.period, on)
        return self._tallies.tally(key, claim.limit).room(claim.limit, allowed, on)

    def units_for(self, candidate: Candidate) -> dict[AccumulatorKey, int]:
        """The units that wait for this visit; nothing when no hold does, or it no longer qualifies."""
        hold_id = candidate.visit.content.hold_id if candidate.visit.content else None
        reservation = self._waiting.get(hold_id) if hold_id is not None else None
        if reservation is None or reservation.for_visit != candidate.visit.key:
            return {}
        return reservation.units if reservation.units.keys() <= self._quantities(candidate).keys() else {}

    def post(self, visit: Visit) -> None:
        """Turn the reservation that waits for a visit over to it."""
        hold_id = visit.content.hold_id if visit.content else None
        if hold_id is None:
            return
        self._let_go(self._waiting.pop(hold_id))
        self.outcomes[hold_id] = HoldOutcome(state="posted", posted_by=visit.key)

    def end(self) -> None:
        """After every turn: what is left of a hold that has ended keeps nothing."""
        for hold_id, reservation in list(self._waiting.items()):
            if reservation.hold.ended_by is not None:
                self._let_go(self._waiting.pop(hold_id))
                self.outcomes[hold_id] = HoldOutcome(state=reservation.hold.end_state or "released")

    def _let_go(self, reservation: Reservation) -> None:
        for key, units in reservation.units.items():
            tally = self._tallies.find(key)
            if tally is not None:
                tally.hold(-units, reservation.hold.service.service_date)


def _takes_place(visit: Visit) -> bool:
    """Whether a visit is neither voided nor a no-show nor cancelled."""
    return not visit.voided and visit.content is not None and visit.content.visit_status == "completed"


def _names(visit: Visit, hold: Hold) -> bool:
    """Whether a visit names the hold and arrived before the hold ended."""
    if visit.arrival is None or visit.content is None or visit.content.hold_id != hold.hold_id:
        return False
    return hold.ended_by is None or visit.arrival < hold.ended_by
