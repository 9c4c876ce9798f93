"""The words rule documents are written in: services and their codes, reasons, CARC and RARC codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from shared.domain.code_sets import ProcedureSet, normalise_label
from shared.domain.evaluation import Reason, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentCode:
    """A CARC or RARC with our own short text. It may be used on dates in `[started_on, stopped_on)`.

    `started_on` None: not held. `needs_remark`: never sent without a RARC beside it.
    """

    code: str
    text: str
    started_on: date | None = None
    stopped_on: date | None = None
    needs_remark: bool = False

    def usable(self, on: date) -> bool:
        """Whether the code could be used on a service date."""
        begun = self.started_on is None or self.started_on <= on
        return begun and (self.stopped_on is None or on < self.stopped_on)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonWord:
    """One of our reason codes: its text, and the anticipated CARC and RARC where one fits."""

    code: str
    text: str
    carc: str | None = None
    rarc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonTemplate:
    """A reason as a rule document states it; what it leaves out is the vocabulary's."""

    code: str
    text: str | None = None
    carc: str | None = None
    rarc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConcept:
    """A kind of service: its procedure codes and the other names it goes by."""

    name: str
    codes: ProcedureSet
    synonyms: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Everything a rule document may name without defining it."""

    services: Mapping[str, ServiceConcept] = field(default_factory=dict)
    reasons: Mapping[str, ReasonWord] = field(default_factory=dict)
    carcs: Mapping[str, AdjustmentCode] = field(default_factory=dict)
    rarcs: Mapping[str, AdjustmentCode] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)

    def reason(self, template: ReasonTemplate, on: date, source: Source | None = None) -> Reason:
        """The reason a template makes on a service date.

        A CARC or RARC stopped by then is left out, and with a CARC its RARC, and a CARC that needs a
        RARC which is left out: a code that cannot be used is never anticipated.
        """
        word = self.reasons.get(template.code)
        carc = template.carc or (word.carc if word else None)
        rarc = template.rarc or (word.rarc if word else None)
        if rarc is not None and not self._usable(self.rarcs, rarc, on):
            rarc = None
        if carc is not None and not self._usable(self.carcs, carc, on):
            carc = None
        if carc is not None and rarc is None and self.carcs[carc].needs_remark:
            carc = None
        text = template.text or (word.text if word else template.code)
        return Reason(code=template.code, text=text, carc=carc, rarc=rarc if carc else None, source=source)

    @staticmethod
    def _usable(codes: Mapping[str, AdjustmentCode], code: str, on: date) -> bool:
        known = codes.get(code)
        return known is not None and known.usable(on)

    def service_named(self, name: str) -> str | None:
        """The service that a name or one of its synonyms means (`IMS` is `dry_needling`), or None."""
        label = normalise_label(name)
        for concept in self.services.values():
            if label == concept.name or label in concept.synonyms:
                return concept.name
        return None
