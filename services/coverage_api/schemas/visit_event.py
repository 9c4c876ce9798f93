"""Visit events as clients send them."""

from __future__ import annotations

from marshmallow import fields

from services.coverage_api.schemas.fields import Day, Items, Slug, StrictSchema, Truth, Word, identifier
from services.coverage_api.schemas.service import CircumstancesSchema, lines_field
from shared.domain.visit import EVENT_TYPES, VISIT_STATUSES

VOIDED = "visit.voided"
REPORTED = ("visit.recorded", "visit.corrected")
BATCH_EVENTS_MAX = 1_000


class _EventSchema(CircumstancesSchema):
    event_id = identifier(required=True)
    visit_id = identifier(required=True)
    payer_id = Slug(required=True)
    self_pay = Truth(load_default=False)
    visit_status = Word(VISIT_STATUSES, load_default="completed")


class VisitReportSchema(_EventSchema):
    """A visit told for the first time, or corrected.

    `event_id` is the client's, unique per client for ever; `visit_id` its id of the visit, under which it is
    corrected and voided. A visit counts if it was `completed` and is not `self_pay` (paid by the patient).
    `hold_id` is the hold whose units it takes; where it takes none, the reason `hold_not_used` says why. A
    correction replaces all that was said before.
    """

    type = Word(REPORTED, required=True)
    member_id = identifier(required=True)
    service_date = Day(required=True)
    lines = lines_field(least=1, required=True)


class VisitVoidSchema(_EventSchema):
    """Removes a visit for good. What names event and visit is enough.

    That is `event_id`, `type`, `visit_id` and `payer_id`; the others change nothing.
    """

    type = Word((VOIDED,), required=True)
    member_id = identifier()
    service_date = Day()
    lines = lines_field()


class UnknownEventSchema(VisitReportSchema):
    """Names the faults of an event whose type is missing or none of the three."""

    type = Word(EVENT_TYPES, required=True)


class VisitEventBatchSchema(StrictSchema):
    """Up to 1,000 visit events. Each item is judged and answered on its own, in order."""

    events = Items(fields.Raw(allow_none=True), BATCH_EVENTS_MAX, required=True)
