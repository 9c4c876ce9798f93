"""General guidance: costs without coverage, accounts, appeals, frequency, charting. Never a rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from shared.domain.evaluation import (
    Advisory,
    BillingGuidance,
    Contact,
    DocumentationItem,
    Guidance,
    SelfPayEstimate,
    Source,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyAdvice:
    """How often at most a source advises: `visits_max` in any `days` dates."""

    visits_max: int
    days: int
    text: str
    source: Source

    def advisory(self, service_date: date, recent: Iterable[date]) -> Advisory | None:
        """An advisory if this visit is beyond the advice, counting the member's other dates; else None."""
        opens = service_date - timedelta(days=self.days - 1)
        near = sum(1 for day in recent if opens <= day <= service_date)
        if near + 1 <= self.visits_max:
            return None
        return Advisory(code="frequency", text=self.text, source=self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidanceBook:
    """Everything general that an answer carries, whoever pays.

    `indications` are conditions that articles name: words, never a list of covered diagnoses.
    """

    disclaimer: str = ""
    self_pay_estimate: SelfPayEstimate | None = None
    hsa_fsa: Guidance | None = None
    appeal: Guidance | None = None
    billing_unknown: BillingGuidance | None = None
    frequency: FrequencyAdvice | None = None
    documentation: tuple[DocumentationItem, ...] = ()
    ask_your_plan: tuple[Advisory, ...] = ()
    contacts: tuple[Contact, ...] = ()
    indications: tuple[str, ...] = ()
