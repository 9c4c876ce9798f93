"""The service a check asks about, a hold promises or a visit reports: one shape for all three.

All values are frozen and hashable, so that an evaluation of the rules can be remembered by what it
was asked about. Dates are plain calendar dates (contract I12).
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from shared.domain.record import record

Network = Literal["in", "out"]
Purpose = Literal["active", "maintenance", "rehabilitative", "habilitative"]

PROVIDER_TYPES: tuple[str, ...] = (
    "physical_therapist",
    "occupational_therapist",
    "chiropractor",
    "physician",
    "physician_assistant",
    "nurse_practitioner",
    "clinical_nurse_specialist",
    "auxiliary_personnel",
    "athletic_trainer",
    "acupuncturist",
    "podiatrist",
    "naturopath",
    "massage_therapist",
    "speech_therapist",
    "other",
)


@record(frozen=True, slots=True, kw_only=True)
class ServiceLine:
    """One billed line. `quantity` is in units of the code, at least 1; the first diagnosis is primary."""

    procedure_code: str
    quantity: int = 1
    modifiers: tuple[str, ...] = ()
    diagnosis_codes: tuple[str, ...] = ()
    muscles: int | None = None


@record(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who renders (or bills). `type` is one of PROVIDER_TYPES, or absent when not said."""

    npi: str | None = None
    type: str | None = None
    credentials: tuple[str, ...] = ()


@record(frozen=True, slots=True, kw_only=True)
class Clinical:
    """What the chart says, as far as a rule may ask. None means "not said", never "no".

    Of the lists, empty and absent are the same. An empty `documented` says nothing of the chart; an empty
    `related_to`, which names what the complaint comes from, names no such cause.
    """

    onset_on: date | None = None
    improving: bool | None = None
    purpose: Purpose | None = None
    related_to: tuple[str, ...] | None = None
    documented: tuple[str, ...] | None = None


@record(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A prior authorization the caller holds, valid over `[start, end)` where those are said."""

    number: str
    start: date | None = None
    end: date | None = None

    def covers(self, day: date) -> bool:
        """Whether `day` lies in `[start, end)`, as far as they are said."""
        return (self.start is None or self.start <= day) and (self.end is None or day < self.end)


@record(frozen=True, slots=True, kw_only=True)
class Service:
    """One encounter on one calendar date, as a check, a hold or a visit event states it."""

    service_date: date
    lines: tuple[ServiceLine, ...]
    provider: Provider = Provider()
    state: str | None = None
    place_of_service: str | None = None
    network: Network | None = None
    clinical: Clinical = Clinical()
    authorization: Authorization | None = None
    injury_id: str | None = None
    billing_provider: Provider = Provider()
