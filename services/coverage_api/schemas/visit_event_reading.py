"""Reads a visit event into its one normal form, whichever of the three kinds it is."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from services.coverage_api.auditing import CallAudit
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.service import said
from services.coverage_api.schemas.visit_event import (
    REPORTED,
    VOIDED,
    UnknownEventSchema,
    VisitReportSchema,
    VisitVoidSchema,
)
from services.coverage_api.usecases.incoming import VisitReport
from shared.domain.client import CredentialRecord

Json = dict[str, Any]

_REPORT = Reader(VisitReportSchema)
_VOID = Reader(VisitVoidSchema)
_UNKNOWN = Reader(UnknownEventSchema)

#: The fields that name an event; the others are what it says of the visit.
_ENVELOPE = frozenset({"event_id", "type", "visit_id", "payer_id"})


def read_visit_event(value: object) -> Json:
    """A visit event with its defaults, in one form for all ways of saying the same. Raises Invalid."""
    kind = value.get("type") if isinstance(value, dict) else None
    reader = _VOID if kind == VOIDED else _REPORT if kind in REPORTED else _UNKNOWN
    return said(reader.read(value))


def report_of(audit: CallAudit, event: Json, caller: CredentialRecord | None = None) -> VisitReport:
    """A normalized event that came with this call, as the use case takes it.

    `caller` is the client's key if it has still to be confirmed. The digest is over all fields, their
    names in order, so that a repeat is known by it (I2).
    """
    content = None
    if event["type"] != VOIDED:
        content = {name: value for name, value in event.items() if name not in _ENVELOPE}
    return VisitReport(
        client_id=audit.client.client_id,
        payer_id=event["payer_id"],
        event_id=event["event_id"],
        type=event["type"],
        visit_id=event["visit_id"],
        content=content,
        payload_digest=hashlib.sha256(orjson.dumps(event, option=orjson.OPT_SORT_KEYS)).digest(),
        audit=audit,
        caller=caller,
    )
