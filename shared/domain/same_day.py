"""What else was done for a member on one service date, for rules that look at more than one visit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from shared.domain.visit import Visit, VisitContent


class SameDay:
    """The codes that a member's visits of one service date bear, by arrival.

    Only what took place and is the plan's to pay tells: visits that are known, completed, not voided and
    not paid by the patient, whatever the rules made of them. A visit is asked about with the codes of
    those that arrived before it, so that one that arrives later changes nothing that was decided (I4).
    """

    def __init__(
        self, visits: Iterable[Visit] = (), known: Mapping[date, Iterable[str]] | None = None
    ) -> None:
        """Begin with these visits, and with the codes of those that are not at hand: they came before."""
        self._codes: dict[date, list[tuple[int, frozenset[str]]]] = {}
        for on, codes in (known or {}).items():
            self._codes[on] = [(0, frozenset(codes))]
        for visit in visits:
            self.add(visit)

    def add(self, visit: Visit) -> None:
        """Take one more visit in."""
        if visit.arrival is None or visit.content is None or visit.voided:
            return
        codes = codes_done(visit.content)
        if codes:
            on = visit.content.service.service_date
            self._codes.setdefault(on, []).append((visit.arrival, codes))

    def codes_before(self, on: date, arrival: int | None = None) -> tuple[str, ...]:
        """The codes of the visits of a date that arrived before `arrival`, or of all of them; sorted."""
        told = (codes for at, codes in self._codes.get(on, ()) if arrival is None or at < arrival)
        return tuple(sorted(frozenset().union(*told)))


def codes_done(content: VisitContent) -> frozenset[str]:
    """The codes of what took place and is not paid by the patient."""
    if content.self_pay or content.visit_status != "completed":
        return frozenset()
    return frozenset(line.procedure_code for line in content.service.lines)
