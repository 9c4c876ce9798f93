"""Holds and overrides as they are asked for."""

from __future__ import annotations

from services.coverage_api.schemas.fields import (
    LAST_END,
    Day,
    Instant,
    Slug,
    StrictSchema,
    Text,
    Whole,
    identifier,
)
from services.coverage_api.schemas.service import EligibilityCheckSchema

QUANTITY_MAX = 9_999


class HoldSchema(EligibilityCheckSchema):
    """Units to be promised to a scheduled service; by default until three days after its date, 00:00 UTC.

    The rest is that of an eligibility check, of which `hold_id` changes nothing here.
    """

    quantity = Whole(1, QUANTITY_MAX, load_default=1)
    expires_at = Instant(allow_none=True)


class OverrideSchema(StrictSchema):
    """Units granted on top of a limit, in the benefit period that `service_date` names.

    They serve service dates before `expires_on`, and with `visit_id` that visit alone.
    """

    payer_id = Slug(required=True)
    member_id = identifier(required=True)
    limit_id = identifier(required=True)
    service_date = Day(required=True)
    quantity = Whole(1, QUANTITY_MAX, required=True)
    approver = Text(200, required=True)
    reason = Text(1_000, required=True)
    expires_on = Day(LAST_END, allow_none=True)
    visit_id = identifier(allow_none=True)
