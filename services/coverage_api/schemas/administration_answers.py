"""Answers to administrators, described for the OpenAPI document as `answers.py` does it."""

from __future__ import annotations

from marshmallow import fields

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


class PayerAnswerSchema(AnswerSchema):
    """A payer."""

    payer_id = required_text()
    name = required_text()


class PlanAnswerSchema(AnswerSchema):
    """A plan as it stands; `version` rises with each change."""

    payer_id = required_text()
    plan_id = required_text()
    version = required_count()
    name = required_text()
    funding = required_text()
    market = required_text()
    region = nullable_text()
    plan_year_start = required_text()
    contract_start = nullable_text(metadata=DAY)
    carry_over = required_text()


class SpanAnswerSchema(AnswerSchema):
    """A span `[start, end)`; an end of null is open."""

    plan_id = required_text()
    start = required_text(metadata=DAY)
    end = nullable_text(metadata=DAY)
    attributes = list_of_texts()


class EnrollmentsAnswerSchema(AnswerSchema):
    """A member's spans, earliest first."""

    payer_id = required_text()
    member_id = required_text()
    spans = list_of(SpanAnswerSchema)


class OverrideAnswerSchema(AnswerSchema):
    """Units granted on top of a limit."""

    override_id = required_text()
    payer_id = required_text()
    member_id = required_text()
    limit_id = required_text()
    service_date = required_text(metadata=DAY)
    quantity = required_count()
    approver = required_text()
    reason = required_text()
    expires_on = nullable_text(metadata=DAY)
    visit_id = nullable_text()
    created_at = required_text(metadata=INSTANT)
    revoked_at = nullable_text(metadata=INSTANT)


class ServiceDatesAnswerSchema(AnswerSchema):
    """Service dates `[start, end)`; null is open."""

    start = nullable_text(metadata=DAY)
    end = nullable_text(metadata=DAY)


class LaterVersionAnswerSchema(ServiceDatesAnswerSchema):
    """The service dates for which a later version is in force."""

    version = required_count()


class RuleDocumentAnswerSchema(AnswerSchema):
    """A version of a rule document, without its rules; `in_force` are its own service dates."""

    document_id = required_text()
    version = fields.Integer(required=True)
    authority = required_text()
    title = required_text()
    running = Truth(required=True)
    in_force = list_of(ServiceDatesAnswerSchema)


class LoadedDocumentAnswerSchema(RuleDocumentAnswerSchema):
    """A version of a rule document as it was loaded; `ran_before` where nothing had to be done."""

    catalog_version = required_count()
    members_to_fold_again = required_count()
    ran_before = Truth(required=True)
    later_versions = list_of(LaterVersionAnswerSchema)


class RuleDocumentsAnswerSchema(AnswerSchema):
    """A page of rule documents."""

    rule_documents = list_of(RuleDocumentAnswerSchema)
    next_cursor = nullable_text()


class AuditEntrySchema(AnswerSchema):
    """A call about the member, or a visit event that was sent about the member.

    `credential` tells which key or token was shown. What is null does not apply to it.
    """

    at = required_text(metadata=INSTANT)
    kind = one_of(("call", "visit_event"))
    client = required_text()
    credential = nullable_text()
    call = required_text()
    purpose = nullable_text()
    status = nullable_count()
    problem = nullable_text()
    request_id = nullable_text()
    event_id = nullable_text()
    visit_id = nullable_text()


class AuditAnswerSchema(AnswerSchema):
    """A page of a member's audit trail, by time."""

    entries = list_of(AuditEntrySchema)
    next_cursor = nullable_text()
