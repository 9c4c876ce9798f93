"""Answers, described for the OpenAPI document. They may grow further fields; nothing is loaded with these."""

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
from shared.domain.evaluation import AUTHORITIES, DECISIONS, REQUIREMENTS
from shared.domain.hold import HoldState
from shared.domain.limit import BASES, MEASURES
from shared.domain.receipt import EVENT_STATUSES
from shared.domain.visit import Disposition

DISPOSITIONS: tuple[str, ...] = get_args(Disposition)
HOLD_STATES: tuple[str, ...] = get_args(HoldState)


class FaultSchema(AnswerSchema):
    """One fault of the request, at a JSON pointer into its body."""

    pointer = required_text()
    message = required_text()


class ProblemSchema(AnswerSchema):
    """What went wrong, as RFC 9457 describes it."""

    type = required_text(metadata={"example": "/problems/invalid_request"})
    title = required_text()
    status = fields.Integer(required=True)
    detail = required_text()
    request_id = required_text()
    errors = fields.List(fields.Nested(FaultSchema))


class SourceSchema(AnswerSchema):
    """Which version of which rule document says something, with what authority."""

    document_id = required_text()
    version = fields.Integer(required=True)
    authority = one_of(AUTHORITIES)
    citation = required_text()
    effective_from = nullable_text(metadata=DAY)


class ReasonSchema(AnswerSchema):
    """Why: our code and words, the anticipated CARC and RARC where one fits, and the source."""

    code = required_text()
    text = required_text()
    carc = nullable_text()
    rarc = nullable_text()
    source = fields.Nested(SourceSchema, required=True, allow_none=True)


class PeriodSchema(AnswerSchema):
    """A benefit period `[start, end)`; null where the basis has no dates."""

    basis = one_of(BASES)
    start = nullable_text(metadata=DAY)
    end = nullable_text(metadata=DAY)


class AccumulatorSchema(AnswerSchema):
    """How a limit stands in a benefit period; counts are whole units of its measure."""

    limit_id = required_text()
    measure = one_of(MEASURES)
    pool = list_of_texts()
    period = fields.Nested(PeriodSchema, required=True)
    allowed = nullable_count()
    used = required_count()
    held = required_count()
    remaining = nullable_count()
    assumptions = list_of_texts()
    version = required_count()
    pending_events = required_count()


class LineAnswerSchema(AnswerSchema):
    """What is said of one line."""

    procedure_code = required_text()
    decision = one_of(DECISIONS)
    reasons = list_of_texts()


class DeterminationSchema(AnswerSchema):
    """The recorded answer to an eligibility check."""

    check_id = required_text()
    decided_at = required_text(metadata=INSTANT)
    decision = one_of(DECISIONS)
    reasons = list_of(ReasonSchema)
    overruled = fields.List(fields.Dict(), required=True)
    missing_inputs = list_of_texts()
    conditions = list_of_texts()
    documentation = fields.List(fields.Dict(), required=True)
    prior_authorization = one_of(REQUIREMENTS)
    referral = one_of(REQUIREMENTS)
    cost_sharing = fields.Dict(required=True)
    lines = list_of(LineAnswerSchema)
    accumulators = list_of(AccumulatorSchema)
    advisories = fields.List(fields.Dict(), required=True)
    self_pay_estimate = fields.Dict(required=True, allow_none=True)
    contacts = fields.List(fields.Dict(), required=True)
    disclaimer = required_text()


class ItemResultSchema(AnswerSchema):
    """The result of one item of a batch: `problem` where it was refused."""

    status = fields.Integer(required=True)
    problem = fields.Nested(ProblemSchema)


class CheckResultSchema(ItemResultSchema):
    """The result of one check of a batch."""

    determination = fields.Nested(DeterminationSchema)


class CheckBatchResultsSchema(AnswerSchema):
    """One result for each check, in order."""

    results = list_of(CheckResultSchema)


class MovementSchema(AnswerSchema):
    """What an event moved in one accumulator."""

    limit_id = required_text()
    period = fields.Nested(PeriodSchema, required=True)
    used_before = required_count()
    used_after = required_count()
    allowed = required_count()


class OutcomeSchema(AnswerSchema):
    """What an event did when it was applied. It never changes."""

    disposition = one_of(DISPOSITIONS)
    reasons = list_of(ReasonSchema)
    accumulators = list_of(MovementSchema)


class ReceiptSchema(AnswerSchema):
    """An accepted event as it stands."""

    event_id = required_text()
    status = one_of(EVENT_STATUSES)
    received_at = required_text(metadata=INSTANT)
    outcome = fields.Nested(OutcomeSchema, required=True, allow_none=True)


class EventResultSchema(ItemResultSchema):
    """The result of one event of a batch; `replayed` if it had been accepted before."""

    receipt = fields.Nested(ReceiptSchema)
    replayed = Truth()


class EventBatchResultsSchema(AnswerSchema):
    """One result for each event, in order."""

    results = list_of(EventResultSchema)


class RejectedLineSchema(AnswerSchema):
    """A line that was refused; the first line is 1."""

    line = required_count()
    problem = fields.Nested(ProblemSchema, required=True)


class BulkAnswerSchema(AnswerSchema):
    """What became of a stream. Lines are those that are not blank."""

    lines = required_count()
    accepted = required_count()
    replayed = required_count()
    rejected = required_count()
    rejected_lines = list_of(RejectedLineSchema)
    further_rejected_lines = fields.List(fields.Integer())


class AccumulatorsAnswerSchema(AnswerSchema):
    """How a member's limits stand; where there is none, `reasons` say why."""

    accumulators = list_of(AccumulatorSchema)
    reasons = list_of(ReasonSchema)


class EventCountsSchema(AnswerSchema):
    """Received is applied, rejected, dead and pending together."""

    received = required_count()
    applied = required_count()
    rejected = required_count()
    dead = required_count()
    pending = required_count()
    oldest_pending_seconds = required_count()


class DeadLettersSchema(AnswerSchema):
    """Events that failed too often: those that wait for an operator, and those given up for good."""

    waiting = required_count()
    discarded = required_count()


class PayerStatusSchema(AnswerSchema):
    """Where the service stands with one payer's events; `complete` says that none is unaccounted for."""

    payer_id = required_text()
    visit_events = fields.Nested(EventCountsSchema, required=True)
    complete = Truth(required=True)
    dead_letters = fields.Nested(DeadLettersSchema, required=True)


class DriftSchema(AnswerSchema):
    """Counters in Redis that were compared with their accumulators so far, and how many were wrong."""

    compared = required_count()
    found = required_count()


class VersionsSchema(AnswerSchema):
    """The number of the running rule catalog, and the version of the database's schema."""

    catalog = required_count()
    schema = required_text()


class StatusSchema(AnswerSchema):
    """Where the service stands, over the payers that the client sees.

    `complete`: each event received was applied, was rejected, is dead or is pending.
    `seconds_since_sweep` is null if no worker ever came to the end of a sweep.
    """

    visit_events = fields.Nested(EventCountsSchema, required=True)
    complete = Truth(required=True)
    dead_letters = fields.Nested(DeadLettersSchema, required=True)
    payers = list_of(PayerStatusSchema)
    members_to_fold_again = required_count()
    counters_behind = required_count()
    drift = fields.Nested(DriftSchema, required=True)
    seconds_since_sweep = fields.Integer(required=True, allow_none=True, validate=validate.Range(min=0))
    versions = fields.Nested(VersionsSchema, required=True)


class HoldAnswerSchema(AnswerSchema):
    """A hold. `accumulators` are as they were when it was placed."""

    hold_id = required_text()
    state = one_of(HOLD_STATES)
    quantity = required_count()
    expires_at = required_text(metadata=INSTANT)
    accumulators = list_of(AccumulatorSchema)


class PostingSchema(AnswerSchema):
    """Units that a visit moved in one accumulator."""

    limit_id = required_text()
    plan_id = required_text()
    period = fields.Nested(PeriodSchema, required=True)
    units = required_count()


class VisitEventNameSchema(AnswerSchema):
    """An event behind a visit."""

    event_id = required_text()
    type = required_text()
    received_at = required_text(metadata=INSTANT)


class VisitAnswerSchema(AnswerSchema):
    """A visit as it stands, what it moved, and why."""

    visit_id = required_text()
    client = required_text()
    service_date = required_text(metadata=DAY)
    disposition = one_of(DISPOSITIONS)
    reasons = list_of(ReasonSchema)
    accumulators = list_of(PostingSchema)
    override_ids = list_of_texts()
    posted_hold_id = nullable_text()
    events = list_of(VisitEventNameSchema)


class VisitsAnswerSchema(AnswerSchema):
    """A page of visits. Opening balances, where there are any, are on the first."""

    visits = list_of(VisitAnswerSchema)
    opening_balances = fields.List(fields.Dict())
    next_cursor = nullable_text()
