"""The service that a check asks about, a hold promises and a visit reports: one shape for all three."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from services.coverage_api.schemas.fields import (
    LAST_END,
    Code,
    Day,
    Items,
    Slug,
    StrictSchema,
    Text,
    Truth,
    Whole,
    Word,
    identifier,
)
from shared.domain.service import PROVIDER_TYPES

BATCH_CHECKS_MAX = 100
NETWORKS = ("in", "out")
PURPOSES = ("active", "maintenance", "rehabilitative", "habilitative")
RELATIONS = ("surgery", "pregnancy", "systemic_disease")

Json = dict[str, Any]


def refuse_empty_span(data: Json, first: str = "start", end: str = "end") -> None:
    """Refuse a half-open span that ends before it begins. Dates are ISO text, so they compare as such."""
    if data.get(first) and data.get(end) and data[end] <= data[first]:
        raise ValidationError(f"Must be later than {first}: the span does not include its end.", end)


class LineSchema(StrictSchema):
    """One billed line. `quantity` is in units of the code, `muscles` how many were needled.

    `diagnosis_codes` are ICD-10-CM, the first of them primary.
    """

    procedure_code = Code(
        r"[A-Za-z0-9][A-Za-z0-9.-]{0,19}", "1 to 20 letters, digits, '.' or '-'", required=True
    )
    quantity = Whole(1, 9_999, load_default=1)
    modifiers = Items(Code(r"[A-Z0-9]{2}", "two capital letters or digits"), 10, load_default=list)
    diagnosis_codes = Items(
        Code(r"[A-Za-z0-9.]{1,10}", "1 to 10 letters, digits or '.'"), 24, load_default=list
    )
    muscles = Whole(0, 999, allow_none=True)


class ProviderSchema(StrictSchema):
    """Who renders the service, or bills for it; `credentials` are what a rule may ask for beside the type."""

    npi = Code(r"[0-9]{10}", "ten digits", allow_none=True)
    type = Word(PROVIDER_TYPES, allow_none=True)
    credentials = Items(Text(60), 20, load_default=list)


class ClinicalSchema(StrictSchema):
    """What the chart says, as far as a rule may ask; what is left out was not said, which is not no.

    `onset_on` is when the complaint began, `improving` whether treatment helps, `related_to` what the
    complaint comes from, `documented` what the chart holds.
    """

    onset_on = Day(allow_none=True)
    improving = Truth(allow_none=True)
    purpose = Word(PURPOSES, allow_none=True)
    related_to = Items(Word(RELATIONS), 3)
    documented = Items(Text(100), 50)


class AuthorizationSchema(StrictSchema):
    """A prior authorization the caller holds, over the span `[start, end)` where that is said."""

    number = Text(100, required=True)
    start = Day(allow_none=True)
    end = Day(LAST_END, allow_none=True)

    @validates_schema
    def _span(self, data: Json, **_kwargs: Any) -> None:
        refuse_empty_span(data)


class CircumstancesSchema(StrictSchema):
    """What may be said of any service, whether it is asked about, promised or reported."""

    provider = fields.Nested(ProviderSchema, allow_none=True)
    state = Code(r"[A-Z]{2}", "two capital letters", allow_none=True)
    place_of_service = Code(r"[0-9]{2}", "two digits", allow_none=True)
    network = Word(NETWORKS, allow_none=True)
    clinical = fields.Nested(ClinicalSchema, allow_none=True)
    authorization = fields.Nested(AuthorizationSchema, allow_none=True)
    injury_id = identifier(allow_none=True)
    billing_provider = fields.Nested(ProviderSchema, allow_none=True)
    hold_id = identifier(allow_none=True)


def lines_field(**kwargs: Any) -> Items:
    """The billed lines of one service."""
    return Items(fields.Nested(LineSchema), 50, **kwargs)


class EligibilityCheckSchema(CircumstancesSchema):
    """Is this member's service covered, and why? The units of the hold `hold_id` count as free.

    If the member has no such hold pending, the advisory `hold_not_pending` says so.
    The more is said, the less is unknown: `missing_inputs` of the answer names what it turned on.
    `injury_id` names the injury where a limit runs for each; `billing_provider` who bills, if another.
    """

    payer_id = Slug(required=True)
    member_id = identifier(required=True)
    service_date = Day(required=True)
    lines = lines_field(least=1, required=True)


#: Parts in which an empty list says nothing; one that says nothing at all is left out.
TIDIED = ("provider", "billing_provider", "clinical")


def said(loaded: Json) -> Json:
    """A loaded object in its one normal form: what was not said, in whatever way, is left out."""
    kept = {name: value for name, value in loaded.items() if value is not None}
    for name in TIDIED:
        if name in kept:
            part = {key: value for key, value in kept[name].items() if value not in (None, [])}
            if part:
                kept[name] = part
            else:
                del kept[name]
    if "authorization" in kept:
        kept["authorization"] = {k: v for k, v in kept["authorization"].items() if v is not None}
    if "lines" in kept:
        kept["lines"] = [
            {key: value for key, value in line.items() if value is not None} for line in kept["lines"]
        ]
    return kept


class EligibilityBatchSchema(StrictSchema):
    """Up to 100 eligibility checks. Each item is judged and answered on its own, in order."""

    checks = Items(fields.Raw(allow_none=True), BATCH_CHECKS_MAX, required=True)
