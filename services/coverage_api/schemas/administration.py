"""What administrators write: payers, plans and enrollments."""

from __future__ import annotations

from datetime import date
from typing import Any

from marshmallow import fields, validates_schema

from services.coverage_api.schemas.fields import (
    LAST_END,
    Code,
    Day,
    Items,
    Slug,
    StrictSchema,
    Text,
    Word,
    identifier,
)
from services.coverage_api.schemas.service import refuse_empty_span
from shared.domain.enrollment import CARRY_OVERS, FUNDINGS, MARKETS, EnrollmentSpan, Plan

Json = dict[str, Any]

SPANS_MAX = 200
_MONTH_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|[12][0-9]))"
)


class PayerSchema(StrictSchema):
    """What there is to say of a payer."""

    name = Text(200, required=True)


class PlanSchema(StrictSchema):
    """A plan of a payer. `plan_year_start` is MM-DD, the day on which its plan years begin.

    `funding`, `market` and `region` are what a rule document may be for. `contract_start` opens contract
    years. `carry_over` says whether a member who changes into the plan brings counts along: from none, from
    plans of the same product (funding, market and region), or from all.
    """

    name = Text(200, required=True)
    funding = Word(FUNDINGS, required=True)
    market = Word(MARKETS, required=True)
    region = Text(100, allow_none=True)
    plan_year_start = Code(_MONTH_DAY, "a day of the year, MM-DD", load_default="01-01")
    contract_start = Day(allow_none=True)
    carry_over = Word(CARRY_OVERS, load_default="none")


class SpanSchema(StrictSchema):
    """A span `[start, end)` over which a member is enrolled in a plan; without an end it is open.

    `attributes` are the payer's own labels for the member that a rule may ask for.
    """

    plan_id = identifier(required=True)
    start = Day(required=True)
    end = Day(LAST_END, allow_none=True)
    attributes = Items(Text(100), 50, load_default=list)

    @validates_schema
    def _span(self, data: Json, **_kwargs: Any) -> None:
        refuse_empty_span(data)


class EnrollmentsSchema(StrictSchema):
    """All spans of one member with a payer, in the place of those known before; an empty list ends all."""

    payer_id = Slug(required=True)
    member_id = identifier(required=True)
    spans = Items(fields.Nested(SpanSchema), SPANS_MAX, required=True)


def plan_of(payer_id: str, plan_id: str, loaded: Json) -> Plan:
    """The plan that a loaded body describes."""
    start = loaded.get("contract_start")
    return Plan(
        payer_id=payer_id,
        plan_id=plan_id,
        name=loaded["name"],
        funding=loaded["funding"],
        market=loaded["market"],
        region=loaded.get("region"),
        plan_year_start=loaded["plan_year_start"],
        contract_start=date.fromisoformat(start) if start else None,
        carry_over=loaded["carry_over"],
    )


def span_of(loaded: Json) -> EnrollmentSpan:
    """The span that a loaded item describes."""
    end = loaded.get("end")
    return EnrollmentSpan(
        plan_id=loaded["plan_id"],
        start=date.fromisoformat(loaded["start"]),
        end=date.fromisoformat(end) if end else None,
        attributes=tuple(loaded["attributes"]),
    )
