"""Answers, described for the OpenAPI document. They may grow further fields; nothing is loaded with these."""

from __future__ import annotations

from typing import Any, get_args

from marshmallow import INCLUDE, Schema, fields, validate

from services.coverage_api.schemas.fields import Truth
from shared.domain.evaluation import AUTHORITIES, DECISIONS, REQUIREMENTS
from shared.domain.hold import HoldState
from shared.domain.limit import BASES, MEASURES
from shared.domain.receipt import EVENT_STATUSES
from shared.domain.visit import Disposition

DAY = {"format": "date"}
INSTANT = {"format": "date-time"}
DISPOSITIONS: tuple[str, ...] = get_args(Disposition)
HOLD_STATES: tuple[str, ...] = get_args(HoldState)


class AnswerSchema(Schema):
    """An object of an answer: readers must ignore fields they do not know."""

    class Meta:
        """Says that further fields may come."""

        unknown = INCLUDE


def _text(**kwargs: Any) -> fields.String:
    return fields.String(required=True, **kwargs)


def _maybe_text(**kwargs: Any) -> fields.String:
    return fields.String(required=True, allow_none=True, **kwargs)


def _word(words: tuple[str, ...]) -> fields.String:
    return fields.String(required=True, validate=validate.OneOf(words))


def _count() -> fields.Integer:
    return fields.Integer(required=True, validate=validate.Range(min=0))


def _maybe_count() -> fields.Integer:
    return fields.Integer(required=True, allow_none=True, validate=validate.Range(min=0))


def _many(schema: type[Schema]) -> fields.List[Any]:
    return fields.List(fields.Nested(schema), required=True)


def _texts() -> fields.List[Any]:
    return fields.List(fields.String(), required=True)


class FaultSchema(AnswerSchema):
    """One fault of the request, at a JSON pointer into its body."""

    pointer = _text()
    message = _text()


class ProblemSchema(AnswerSchema):
    """What went wrong, as RFC 9457 describes it."""

    type = _text(metadata={"example": "/problems/invalid_request"})
    title = _text()
    status = fields.Integer(required=True)
    detail = _text()
    request_id = _text()
    errors = fields.List(fields.Nested(FaultSchema))


class SourceSchema(AnswerSchema):
    """Which version of which rule document says something, with what authority."""

    document_id = _text()
    version = fields.Integer(required=True)
    authority = _word(AUTHORITIES)
    citation = _text()
    effective_from = _maybe_text(metadata=DAY)


class ReasonSchema(AnswerSchema):
    """Why: our code and words, the anticipated CARC and RARC where one fits, and the source."""

    code = _text()
    text = _text()
    carc = _maybe_text()
    rarc = _maybe_text()
    source = fields.Nested(SourceSchema, required=True, allow_none=True)


class PeriodSchema(AnswerSchema):
    """A benefit period `[start, end)`; null where the basis has no dates."""

    basis = _word(BASES)
    start = _maybe_text(metadata=DAY)
    end = _maybe_text(metadata=DAY)


class AccumulatorSchema(AnswerSchema):
    """How a limit stands in a benefit period; counts are whole units of its measure."""

    limit_id = _text()
    measure = _word(MEASURES)
    pool = _texts()
    period = fields.Nested(PeriodSchema, required=True)
    allowed = _maybe_count()
    used = _count()
    held = _count()
    remaining = _maybe_count()
    assumptions = _texts()
    version = _count()
    pending_events = _count()


class LineAnswerSchema(AnswerSchema):
    """What is said of one line."""

    procedure_code = _text()
    decision = _word(DECISIONS)
    reasons = _texts()


class DeterminationSchema(AnswerSchema):
    """The recorded answer to an eligibility check."""

    check_id = _text()
    decided_at = _text(metadata=INSTANT)
    decision = _word(DECISIONS)
    reasons = _many(ReasonSchema)
    overruled = fields.List(fields.Dict(), required=True)
    missing_inputs = _texts()
    conditions = _texts()
    documentation = fields.List(fields.Dict(), required=True)
    prior_authorization = _word(REQUIREMENTS)
    referral = _word(REQUIREMENTS)
    cost_sharing = fields.Dict(required=True)
    lines = _many(LineAnswerSchema)
    accumulators = _many(AccumulatorSchema)
    advisories = fields.List(fields.Dict(), required=True)
    self_pay_estimate = fields.Dict(required=True, allow_none=True)
    contacts = fields.List(fields.Dict(), required=True)
    disclaimer = _text()


class ItemResultSchema(AnswerSchema):
    """The result of one item of a batch: `problem` where it was refused."""

    status = fields.Integer(required=True)
    problem = fields.Nested(ProblemSchema)


class CheckResultSchema(ItemResultSchema):
    """The result of one check of a batch."""

    determination = fields.Nested(DeterminationSchema)


class CheckBatchResultsSchema(AnswerSchema):
    """One result for each check, in order."""

    results = _many(CheckResultSchema)


class MovementSchema(AnswerSchema):
    """What an event moved in one accumulator."""

    limit_id = _text()
    period = fields.Nested(PeriodSchema, required=True)
    used_before = _count()
    used_after = _count()
    allowed = _count()


class OutcomeSchema(AnswerSchema):
    """What an event did when it was applied. It never changes."""

    disposition = _word(DISPOSITIONS)
    reasons = _many(ReasonSchema)
    accumulators = _many(MovementSchema)


class ReceiptSchema(AnswerSchema):
    """An accepted event as it stands."""

    event_id = _text()
    status = _word(EVENT_STATUSES)
    received_at = _text(metadata=INSTANT)
    outcome = fields.Nested(OutcomeSchema, required=True, allow_none=True)


class EventResultSchema(ItemResultSchema):
    """The result of one event of a batch; `replayed` if it had been accepted before."""

    receipt = fields.Nested(ReceiptSchema)
    replayed = Truth()


class EventBatchResultsSchema(AnswerSchema):
    """One result for each event, in order."""

    results = _many(EventResultSchema)


class RejectedLineSchema(AnswerSchema):
    """A line that was refused; the first line is 1."""

    line = _count()
    problem = fields.Nested(ProblemSchema, required=True)


class BulkAnswerSchema(AnswerSchema):
    """What became of a stream. Lines are those that are not blank."""

    lines = _count()
    accepted = _count()
    replayed = _count()
    rejected = _count()
    rejected_lines = _many(RejectedLineSchema)
    further_rejected_lines = fields.List(fields.Integer())


class AccumulatorsAnswerSchema(AnswerSchema):
    """How a member's limits stand; where there is none, `reasons` say why."""

    accumulators = _many(AccumulatorSchema)
    reasons = _many(ReasonSchema)


class PayerAnswerSchema(AnswerSchema):
    """A payer."""

    payer_id = _text()
    name = _text()


class PlanAnswerSchema(AnswerSchema):
    """A plan as it stands; `version` rises with each change."""

    payer_id = _text()
    plan_id = _text()
    version = _count()
    name = _text()
    funding = _text()
    market = _text()
    region = _maybe_text()
    plan_year_start = _text()
    contract_start = _maybe_text(metadata=DAY)
    carry_over = _text()


class SpanAnswerSchema(AnswerSchema):
    """A span `[start, end)`; an end of null is open."""

    plan_id = _text()
    start = _text(metadata=DAY)
    end = _maybe_text(metadata=DAY)
    attributes = _texts()


class EnrollmentsAnswerSchema(AnswerSchema):
    """A member's spans, earliest first."""

    payer_id = _text()
    member_id = _text()
    spans = _many(SpanAnswerSchema)


class EventCountsSchema(AnswerSchema):
    """Received is applied, rejected, dead and pending together."""

    received = _count()
    applied = _count()
    rejected = _count()
    dead = _count()
    pending = _count()
    oldest_pending_seconds = _count()


class PayerStatusSchema(AnswerSchema):
    """The counts of one payer."""

    payer_id = _text()
    visit_events = fields.Nested(EventCountsSchema, required=True)


class StatusSchema(AnswerSchema):
    """Where the service stands, over the payers that the client sees."""

    visit_events = fields.Nested(EventCountsSchema, required=True)
    payers = _many(PayerStatusSchema)
    members_to_fold_again = _count()
    counters_behind = _count()
    versions = fields.Dict(required=True)


class HoldAnswerSchema(AnswerSchema):
    """A hold. `accumulators` are as they were when it was placed."""

    hold_id = _text()
    state = _word(HOLD_STATES)
    quantity = _count()
    expires_at = _text(metadata=INSTANT)
    accumulators = _many(AccumulatorSchema)


class OverrideAnswerSchema(AnswerSchema):
    """Units granted on top of a limit."""

    override_id = _text()
    payer_id = _text()
    member_id = _text()
    limit_id = _text()
    service_date = _text(metadata=DAY)
    quantity = _count()
    approver = _text()
    reason = _text()
    expires_on = _maybe_text(metadata=DAY)
    visit_id = _maybe_text()
    created_at = _text(metadata=INSTANT)
    revoked_at = _maybe_text(metadata=INSTANT)


class PostingSchema(AnswerSchema):
    """Units that a visit moved in one accumulator."""

    limit_id = _text()
    plan_id = _text()
    period = fields.Nested(PeriodSchema, required=True)
    units = _count()


class VisitEventNameSchema(AnswerSchema):
    """An event behind a visit."""

    event_id = _text()
    type = _text()
    received_at = _text(metadata=INSTANT)


class VisitAnswerSchema(AnswerSchema):
    """A visit as it stands, what it moved, and why."""

    visit_id = _text()
    client = _text()
    service_date = _text(metadata=DAY)
    disposition = _word(DISPOSITIONS)
    reasons = _many(ReasonSchema)
    accumulators = _many(PostingSchema)
    events = _many(VisitEventNameSchema)


class VisitsAnswerSchema(AnswerSchema):
    """A page of visits. Opening balances, where there are any, are on the first."""

    visits = _many(VisitAnswerSchema)
    opening_balances = fields.List(fields.Dict())
    next_cursor = _maybe_text()


class RuleDocumentAnswerSchema(AnswerSchema):
    """A version of a rule document, without its rules."""

    document_id = _text()
    version = fields.Integer(required=True)
    authority = _text()
    title = _text()
    running = Truth(required=True)


class RuleDocumentsAnswerSchema(AnswerSchema):
    """A page of rule documents."""

    rule_documents = _many(RuleDocumentAnswerSchema)
    next_cursor = _maybe_text()
