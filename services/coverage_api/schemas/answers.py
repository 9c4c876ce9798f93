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
    nullable_text,
    one_of,
    required_count,
    required_text,
)
from services.coverage_api.schemas.determination_answers import (
    AccumulatorNameSchema,
    AccumulatorSchema,
    CitedReasonSchema,
    DeterminationSchema,
    ReasonSchema,
)
from services.coverage_api.schemas.fields import Truth
from services.coverage_api.schemas.service import LineSchema
from shared.domain.hold import HoldState
from shared.domain.receipt import EVENT_STATUSES
from shared.domain.visit import VISIT_STATUSES, Disposition

DISPOSITIONS: tuple[str, ...] = get_args(Disposition)
HOLD_STATES: tuple[str, ...] = get_args(HoldState)


class FaultSchema(AnswerSchema):
    """One fault of the request, at a JSON pointer into its body."""

    pointer = required_text()
    message = required_text()


class ProblemSchema(AnswerSchema):
    """What went wrong, as RFC 9457 describes it; of a refused hold `reasons` say why."""

    type = required_text(metadata={"example": "/problems/invalid_request"})
    title = required_text()
    status = fields.Integer(required=True)
    detail = required_text()
    request_id = required_text()
    errors = fields.List(fields.Nested(FaultSchema))
    reasons = fields.List(fields.Nested(CitedReasonSchema))


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


class MovementSchema(AccumulatorNameSchema):
    """What an event moved in one accumulator."""

    used_before = required_count()
    used_after = required_count()
    allowed = required_count()


class OutcomeSchema(AnswerSchema):
    """What an event did when it was applied, for good; `/v1/visits/search` has the visit as it stands now.

    `disposition` is `counted`; `partially_counted`: only some of its units had room; `over_limit`: kept,
    and next in order when a unit comes free; `not_covered` by the rules; `not_countable`: kept, not
    counted for what `reasons` say (member or rule not known, not completed, paid by the patient), and
    looked at again when that changes; `possible_duplicate`: a visit with the same date, procedure code and
    provider NPI arrived earlier, so it waits for an operator's decision (a visit that names no NPI is never
    taken for one); `voided`. `binding` is the limit that had no room. `reasons` also say when the event
    changed nothing (`no_effect`), when a correction that was there already stands (`correction_stands`), and
    when the hold that the visit names is left as it is (`hold_not_used`).
    """

    disposition = one_of(DISPOSITIONS)
    reasons = list_of(ReasonSchema)
    accumulators = list_of(MovementSchema)
    binding = fields.Nested(AccumulatorNameSchema, allow_none=True)


class ReceiptSchema(AnswerSchema):
    """An accepted event as it stands.

    `status` is `pending` until the event is `applied`; `rejected` if it could not be, as a second
    `visit.recorded` of a visit (`outcome.reasons` say why); `dead` if it failed too often and waits for an
    operator.
    """

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
    reasons = list_of(CitedReasonSchema)


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
    """A hold. `accumulators` are as they were when it was placed, and stay so.

    `state` is `pending` while the units are held; `posted` once they went to the visit that named the hold
    (`hold_id`); `released` by the client, or as that visit was voided or did not take place; `expired` at
    `expires_at`.
    """

    hold_id = required_text()
    state = one_of(HOLD_STATES)
    quantity = required_count()
    expires_at = required_text(metadata=INSTANT)
    accumulators = list_of(AccumulatorSchema)


class PostingSchema(AccumulatorNameSchema):
    """Units that a visit moved in one accumulator, on which service date, and what was allowed then.

    `granted` of them come from an override for the visit alone; `carried` ones were moved in a plan that
    the member changed into later.
    """

    on = required_text(metadata=DAY)
    units = required_count()
    granted = required_count()
    allowed = required_count()
    carried = Truth(required=True)


class VisitEventNameSchema(AnswerSchema):
    """An event behind a visit."""

    event_id = required_text()
    type = required_text()
    received_at = required_text(metadata=INSTANT)


class VisitAnswerSchema(AnswerSchema):
    """A visit as it stands, what it moved, and why. `binding` is the limit that had no room."""

    visit_id = required_text()
    client = required_text()
    service_date = required_text(metadata=DAY)
    lines = fields.List(fields.Nested(LineSchema), required=True)
    visit_status = one_of(VISIT_STATUSES)
    self_pay = Truth(required=True)
    hold_id = nullable_text()
    plan_id = nullable_text()
    binding = fields.Nested(AccumulatorNameSchema, required=True, allow_none=True)
    disposition = one_of(DISPOSITIONS)
    reasons = list_of(ReasonSchema)
    accumulators = list_of(PostingSchema)
    override_ids = list_of_texts()
    posted_hold_id = nullable_text()
    events = list_of(VisitEventNameSchema)


class OpeningBalanceAnswerSchema(AnswerSchema):
    """Units that a source says were used elsewhere; its statement with the highest sequence stands."""

    plan_id = required_text()
    limit_id = required_text()
    service_date = required_text(metadata=DAY)
    quantity = required_count()
    source = required_text()
    sequence = required_count()


class VisitsAnswerSchema(AnswerSchema):
    """A page of visits. Opening balances, where there are any, are on the first."""

    visits = list_of(VisitAnswerSchema)
    opening_balances = fields.List(fields.Nested(OpeningBalanceAnswerSchema))
    next_cursor = nullable_text()
