"""What is searched for. Members are named in bodies, never in addresses (contract I8)."""

from __future__ import annotations

from typing import Any

from marshmallow import validates_schema

from services.coverage_api.paging import CURSOR_LENGTH_MAX
from services.coverage_api.schemas.fields import LAST_END, Day, Instant, Slug, StrictSchema, Text, identifier
from services.coverage_api.schemas.service import refuse_empty_span


class AuditSearchSchema(StrictSchema):
    """A member's audit trail in `[start, end)`; `cursor` is an answer's `next_cursor`."""

    payer_id = Slug(required=True)
    member_id = identifier(required=True)
    start = Instant(allow_none=True)
    end = Instant(allow_none=True)
    cursor = Text(CURSOR_LENGTH_MAX, allow_none=True)

    @validates_schema
    def _span(self, data: dict[str, Any], **_kwargs: Any) -> None:
        refuse_empty_span(data)


class AccumulatorSearchSchema(StrictSchema):
    """How a member's limits stand on a service date, as known now or, with `known_at`, at a moment."""

    payer_id = Slug(required=True)
    member_id = identifier(required=True)
    service_date = Day(required=True)
    known_at = Instant(allow_none=True)


class VisitSearchSchema(StrictSchema):
    """A member's visits with service dates in `[start, end)`; `cursor` is an answer's `next_cursor`."""

    payer_id = Slug(required=True)
    member_id = identifier(required=True)
    start = Day(allow_none=True)
    end = Day(LAST_END, allow_none=True)
    cursor = Text(CURSOR_LENGTH_MAX, allow_none=True)

    @validates_schema
    def _span(self, data: dict[str, Any], **_kwargs: Any) -> None:
        refuse_empty_span(data)
