"""A determination, described for the OpenAPI document: every field that an answer may have."""

from __future__ import annotations

from typing import get_args

from marshmallow import fields, validate

from services.coverage_api.schemas.answer_parts import (
    DAY,
    INSTANT,
    AnswerSchema,
    list_of,
    list_of_texts,
    nullable_count,
    nullable_text,
    one_of,
    required_count,
    required_text,
)
from services.coverage_api.schemas.fields import Truth
from shared.domain.evaluation import AUTHORITIES, DECISIONS, REQUIREMENTS, Audience
from shared.domain.limit import BASES, MEASURES, ORDERINGS

COST_SHARING = ("stated", "none", "unknown")


class SourceSchema(AnswerSchema):
    """Which version of which rule document says something, with what authority."""

    document_id = required_text()
    version = fields.Integer(required=True)
    authority = one_of(AUTHORITIES)
    citation = required_text()
    effective_from = nullable_text(metadata=DAY)


class CitedSourceSchema(SourceSchema):
    """A source with its title, and the address where it can be read; null where that is not known."""

    title = nullable_text()
    url = nullable_text()


def _source() -> fields.Nested:
    return fields.Nested(CitedSourceSchema, required=True)


def _known_source() -> fields.Nested:
    """A source, or null where nothing says it."""
    return fields.Nested(CitedSourceSchema, required=True, allow_none=True)


def _nullable(schema: type[AnswerSchema]) -> fields.Nested:
    return fields.Nested(schema, required=True, allow_none=True)


class ReasonSchema(AnswerSchema):
    """Why: our code and words, the anticipated CARC and RARC where one fits, and the source."""

    code = required_text()
    text = required_text()
    carc = nullable_text()
    rarc = nullable_text()
    source = fields.Nested(SourceSchema, required=True, allow_none=True)


class CitedReasonSchema(ReasonSchema):
    """A reason whose source says what it is and where it can be read."""

    source = _known_source()


class PeriodSchema(AnswerSchema):
    """A benefit period `[start, end)`; null where the basis has no dates.

    `days` is the length of a rolling window, `subject` the authorization or injury that a period follows.
    """

    basis = one_of(BASES)
    start = nullable_text(metadata=DAY)
    end = nullable_text(metadata=DAY)
    days = fields.Integer(validate=validate.Range(min=1))
    subject = fields.String()


class AccumulatorNameSchema(AnswerSchema):
    """Which accumulator: a plan's limit in a benefit period."""

    limit_id = required_text()
    plan_id = required_text()
    period = fields.Nested(PeriodSchema, required=True)


class AccumulatorSchema(AccumulatorNameSchema):
    """How a limit stands in a benefit period; counts are whole units of its measure.

    `label` is what the limit is called, `pool` the codes that draw on it, `ordering` who gets the last unit
    (the visit that was `received` first, or the one of the earlier `service_date`), `source` who sets it,
    `assumptions` what its source leaves open. `allowed` and `remaining` are null where there is no bound.
    `version` is the number of ledger entries behind it; `pending_events` are accepted and not yet counted.
    """

    label = nullable_text()
    measure = one_of(MEASURES)
    pool = list_of_texts()
    ordering = one_of(ORDERINGS)
    allowed = nullable_count()
    used = required_count()
    held = required_count()
    remaining = nullable_count()
    assumptions = list_of_texts()
    version = required_count()
    pending_events = required_count()
    source = _source()


class LineAnswerSchema(AnswerSchema):
    """What is said of one line; `source` is the document that decides it, null where none does."""

    procedure_code = required_text()
    decision = one_of(DECISIONS)
    reasons = list_of_texts()
    source = _known_source()


class OverruledSchema(AnswerSchema):
    """A rule document that speaks of the service and lost: what it says, and why it does not decide."""

    source = _source()
    decision = one_of(DECISIONS)
    reason = required_text()


class DocumentationSchema(AnswerSchema):
    """Something the chart should hold. `required` by a deciding rule, else advised."""

    code = required_text()
    text = required_text()
    required = Truth(required=True)
    source = _known_source()


class CostSharingSchema(AnswerSchema):
    """What the member pays when it is covered; an amount that is not stated is absent."""

    status = one_of(COST_SHARING)
    note = nullable_text()
    copay_cents = fields.Integer(validate=validate.Range(min=0))
    coinsurance_percent = fields.Integer(validate=validate.Range(min=0, max=100))
    deductible_applies = Truth()
    source = _known_source()


class AdvisorySchema(AnswerSchema):
    """Worth knowing; changes no decision."""

    code = required_text()
    text = required_text()
    source = _known_source()


class SelfPayEstimateSchema(AnswerSchema):
    """What a session may cost without coverage, in whole units of the currency: an estimate, no price."""

    low = required_count()
    high = required_count()
    currency = required_text()
    estimate = Truth(required=True)
    as_of = nullable_text(metadata=DAY)
    source = _source()


class GuidanceSchema(AnswerSchema):
    """General guidance; not a rule."""

    status = required_text()
    text = required_text()
    steps = list_of_texts()
    source = _known_source()


class BillingGuidanceSchema(AnswerSchema):
    """How the payer wants it billed: stated, or unknown, and then it should be asked."""

    status = one_of(("stated", "unknown"))
    text = required_text()
    source = _known_source()


class ContactSchema(AnswerSchema):
    """Whom to ask."""

    audience = one_of(get_args(Audience))
    name = required_text()
    note = required_text()
    phone = nullable_text()
    source = _known_source()


class DeterminationSchema(AnswerSchema):
    """The recorded answer to an eligibility check.

    `decision` is for the visit as a whole: `covered`, `covered_with_conditions` (if `conditions` are met),
    `not_covered`, or `unknown_verify_with_plan` where the rules held and what was asked do not tell.
    `condition_texts` has each condition in words. `plan_id` is the plan that covers the member that day,
    `decided_by` the document that decides, null where none does; `catalog_version` the rules it was
    decided by.
    """

    check_id = required_text()
    decided_at = required_text(metadata=INSTANT)
    decision = one_of(DECISIONS)
    reasons = list_of(CitedReasonSchema)
    overruled = list_of(OverruledSchema)
    missing_inputs = list_of_texts()
    conditions = list_of_texts()
    condition_texts = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    documentation = list_of(DocumentationSchema)
    prior_authorization = one_of(REQUIREMENTS)
    referral = one_of(REQUIREMENTS)
    cost_sharing = fields.Nested(CostSharingSchema, required=True)
    lines = list_of(LineAnswerSchema)
    accumulators = list_of(AccumulatorSchema)
    plan_id = nullable_text()
    advisories = list_of(AdvisorySchema)
    self_pay_estimate = _nullable(SelfPayEstimateSchema)
    hsa_fsa = _nullable(GuidanceSchema)
    appeal = _nullable(GuidanceSchema)
    billing_guidance = list_of(BillingGuidanceSchema)
    contacts = list_of(ContactSchema)
    decided_by = _known_source()
    catalog_version = required_count()
    disclaimer = required_text()
