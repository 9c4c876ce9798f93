"""Reads a visit event into its one normal form, whichever of the three kinds it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from operator import attrgetter
from typing import Any

import orjson
from msgspec import UNSET

from services.coverage_api.auditing import CallAudit
from services.coverage_api.schemas.line_reading import PlainTexts, normal_form
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.service import TIDIED, said
from services.coverage_api.schemas.visit_event import (
    REPORTED,
    VOIDED,
    UnknownEventSchema,
    VisitReportSchema,
    VisitVoidSchema,
)
from services.coverage_api.usecases.incoming import VisitReport
from shared.domain.client import CredentialRecord
from shared.domain.intake import StreamedEvent

Json = dict[str, Any]

_REPORT = Reader(VisitReportSchema)
_VOID = Reader(VisitVoidSchema)
_UNKNOWN = Reader(UnknownEventSchema)
_PLAIN_REPORTS = PlainTexts(VisitReportSchema(), TIDIED)
#: Texts are gone through many times, each time for one thing. Of so many, what was read stays in the
#: processor's nearer memory meanwhile.
_READ_AT_ONCE = 200

#: SHA-256 that has taken in nothing: to copy it is cheaper than to set one up.
_UNFED = sha256()

#: As `StreamedEvent._make`, which counts the fields once more.
_event_of: Callable[[tuple[Any, ...]], StreamedEvent] = partial(tuple.__new__, StreamedEvent)

_named_by = attrgetter("payer_id", "event_id", "type", "visit_id", "member_id", "hold_id")

#: The fields that name an event; the others are what it says of the visit.
_ENVELOPE = frozenset({"event_id", "type", "visit_id", "payer_id"})


def read_visit_event(value: object) -> Json:
    """A visit event with its defaults, in one form for all ways of saying the same. Raises Invalid."""
    kind = value.get("type") if isinstance(value, dict) else None
    reader = _VOID if kind == VOIDED else _REPORT if kind in REPORTED else _UNKNOWN
    return said(reader.read(value))


def report_of(audit: CallAudit, event: Json, caller: CredentialRecord | None = None) -> VisitReport:
    """A normalized event that came with this call, as the use case takes it.

    `caller` is the client's key if it has still to be confirmed.
    """
    return VisitReport(
        client_id=audit.client.client_id,
        payer_id=event["payer_id"],
        event_id=event["event_id"],
        type=event["type"],
        visit_id=event["visit_id"],
        content=_content_of(event),
        payload_digest=_digest_of(event),
        audit=audit,
        caller=caller,
    )


def _content_of(event: Json) -> Json | None:
    if event["type"] == VOIDED:
        return None
    return {name: value for name, value in event.items() if name not in _ENVELOPE}


def _digest_of(event: Json) -> bytes:
    """The digest of all fields, their names in order: a repeat is known by it (I2)."""
    return sha256(orjson.dumps(event, option=orjson.OPT_SORT_KEYS)).digest()


def streamed(event: Json) -> StreamedEvent:
    """A normalized event as a stream's are taken in."""
    content = _content_of(event)
    told = content or {}
    return StreamedEvent(
        payer_id=event["payer_id"],
        event_id=event["event_id"],
        type=event["type"],
        visit_id=event["visit_id"],
        member_id=told.get("member_id"),
        hold_id=told.get("hold_id"),
        content=None if content is None else orjson.dumps(content),
        payload_digest=_digest_of(event),
    )


def read_plain_events(texts: Sequence[bytes]) -> list[StreamedEvent | None]:
    """What `streamed` makes of what `read_visit_event` reads, for each JSON text.

    None for one that is not plainly valid, or is a void: that takes a closer look.
    """
    events: list[StreamedEvent | None] = []
    for first in range(0, len(texts), _READ_AT_ONCE):
        read = _PLAIN_REPORTS.read(texts[first : first + _READ_AT_ONCE])
        events += [None if found is None else _streamed_plain(*found) for found in read]
    return events


def _streamed_plain(item: Any, form: bytes) -> StreamedEvent:
    payer_id, event_id, kind, visit_id, member_id, hold_id = _named_by(item)
    # What is left without these is what it says of the visit.
    item.payer_id = item.event_id = item.type = item.visit_id = UNSET
    content, digest = normal_form(item), _UNFED.copy()
    digest.update(form)
    named_hold_id = None if hold_id is UNSET else hold_id
    return _event_of((payer_id, event_id, kind, visit_id, member_id, named_hold_id, content, digest.digest()))
