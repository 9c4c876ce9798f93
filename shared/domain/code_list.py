"""The code list: which procedure codes are which service, since when, and what bills of them conflict.

A listed code says nothing about coverage. Texts are our own; the code systems' are copyrighted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from shared.domain.evaluation import Source
from shared.domain.service import Service, ServiceLine

NEEDLING_SERVICE = "dry_needling"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeEntry:
    """One procedure code, valid for service dates in `[valid_from, valid_until)`.

    `muscles_min` and `muscles_max` bound the muscles it stands for; `untimed` codes are billed once a
    session; `unlisted` ones only where no specific code exists.
    """

    code: str
    service: str
    text: str
    valid_from: date | None = None
    valid_until: date | None = None
    muscles_min: int | None = None
    muscles_max: int | None = None
    untimed: bool = False
    unlisted: bool = False

    def valid_on(self, on: date) -> bool:
        """Whether the code may be used on a service date."""
        begun = self.valid_from is None or self.valid_from <= on
        return begun and (self.valid_until is None or on < self.valid_until)

    def fits(self, muscles: int) -> bool:
        """Whether it is the code for that many muscles."""
        above = self.muscles_min is None or muscles >= self.muscles_min
        return above and (self.muscles_max is None or muscles <= self.muscles_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeList:
    """All codes we know, and how they are misused.

    `alternatives` are groups of codes of which one session bears one; `misused` the codes that some
    bill for needling though they mean something else, `misused_alone` those most known for it;
    `bundled` the codes that payers' edits may bundle with needling on one day.
    """

    source: Source
    entries: Mapping[str, CodeEntry] = field(default_factory=dict)
    alternatives: tuple[frozenset[str], ...] = ()
    misused: frozenset[str] = frozenset()
    misused_alone: frozenset[str] = frozenset()
    bundled: frozenset[str] = frozenset()

    def is_needling(self, code: str) -> bool:
        """Whether a code is dry needling."""
        entry = self.entries.get(code)
        return entry is not None and entry.service == NEEDLING_SERVICE

    def is_unlisted(self, code: str) -> bool:
        """Whether a code is for what has no code of its own."""
        entry = self.entries.get(code)
        return entry is not None and entry.unlisted

    def invalid_on(self, code: str, on: date) -> bool:
        """Whether a code is known not to be valid on a service date."""
        entry = self.entries.get(code)
        return entry is not None and not entry.valid_on(on)

    def conflicts(self, service: Service, line: ServiceLine) -> tuple[str, ...]:
        """What contradicts itself in how a line is coded, in our own words."""
        found = []
        entry = self.entries.get(line.procedure_code)
        if entry is not None and line.muscles is not None and not entry.fits(line.muscles):
            found.append(f"{line.procedure_code} does not stand for the number of muscles stated")
        codes = {other.procedure_code for other in service.lines}
        for group in self.alternatives:
            if line.procedure_code in group and len(group & codes) > 1:
                both = " and ".join(sorted(group & codes))
                found.append(f"{both} are alternatives for one session; one visit is counted")
        return tuple(found)

    def quantity_flagged(self, line: ServiceLine) -> bool:
        """Whether more than one unit of an untimed code is billed."""
        entry = self.entries.get(line.procedure_code)
        return entry is not None and entry.untimed and line.quantity > 1

    def stands_for_needling(self, service: Service, index: int, *, documented: bool) -> bool:
        """Whether line `index` looks like dry needling under another code (seed fact F26).

        It does where it states muscles; where the chart documents needling and no line is needling; and
        where a code known for it is all that a question about dry needling names.
        """
        line = service.lines[index]
        if line.procedure_code not in self.misused:
            return False
        if line.muscles is not None:
            return True
        codes = {other.procedure_code for other in service.lines}
        if any(self.is_needling(code) for code in codes):
            return False
        if line.procedure_code in self.misused_alone:
            return True
        return documented and codes.isdisjoint(self.misused_alone)
