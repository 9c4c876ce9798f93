"""Events on their way through the inbox: as they wait, and as they are finished."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from shared.domain.record import record
from shared.domain.visit import EventType, VisitKey


@record(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A valid visit event to be accepted. `content` is the normalized JSON object, None for a void.

    `shard` is where it goes unless an earlier event of its visit already lies in another shard.
    `member_id` is whom it is about: of a void, whom an event before it that came with it named.
    """

    payer_id: str
    client_id: str
    event_id: str
    type: str
    visit_id: str
    member_id: str | None
    shard: int
    content: dict[str, Any] | None
    payload_digest: bytes
    received_at: datetime


@record(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    """A pending event as stored. `content` is the contract's JSON object, None for a void.

    `said` is its text without the member: events that differ in the member alone have it in common. It is
    None where that was not looked at. `visit_stored` is False where it is known that the visit has no row.
    """

    arrival: int
    shard: int
    payer_id: str
    key: VisitKey
    event_id: str
    type: EventType
    received_on: date
    content: Mapping[str, Any] | None
    attempts: int
    said: str | None = None
    visit_stored: bool = True


@record(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """What became of an event when it was applied: the receipt's status and outcome."""

    arrival: int
    shard: int
    payer_id: str
    status: Literal["applied", "rejected"]
    outcome: Mapping[str, Any]
