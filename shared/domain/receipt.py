"""Receipts: what a client is told of a visit event it sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from shared.domain.record import record

EventStatus = Literal["pending", "applied", "rejected", "dead"]

EVENT_STATUSES: tuple[EventStatus, ...] = ("pending", "applied", "rejected", "dead")


@record(frozen=True, slots=True, kw_only=True)
class Receipt:
    """An accepted event as it stands. `outcome` is what it did when it was applied, and never changes."""

    event_id: str
    status: EventStatus
    received_at: datetime
    outcome: Mapping[str, Any] | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing more will become of the event by itself."""
        return self.status != "pending"


@record(frozen=True, slots=True, kw_only=True)
class StoredReceipt:
    """A receipt with the SHA-256 of the normalized event, by which a repeat is told from a clash.

    `member_id` is None while it is not known whom the event is about.
    """

    receipt: Receipt
    payload_digest: bytes
    payer_id: str
    member_id: str | None
