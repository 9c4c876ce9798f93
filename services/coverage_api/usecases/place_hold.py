"""Promises units to a scheduled service: once per idempotency key, never over (I3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from services.coverage_api.auditing import CallAudit
from services.coverage_api.errors import IdempotencyConflict
from services.coverage_api.ports import Tools
from services.coverage_api.usecases.showing import show_counters
from shared.accounting import holds
from shared.accounting.retrying import retrying
from shared.domain.errors import HoldKeyTaken, Invalid
from shared.domain.hold_records import HoldRequest
from shared.domain.records import CounterImage, MemberRef
from shared.failpoints import Step, around

#: A hold that does not say when it ends does so this many days after its service date, 00:00 UTC.
DAYS_AFTER_SERVICE = 3

_NOT_CONTENT = frozenset({"payer_id", "member_id", "quantity", "expires_at", "hold_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedHold:
    """The answer to a request for a hold: the first one's, if it repeats that."""

    answer: Mapping[str, Any]
    replayed: bool


def place_hold(
    tools: Tools, audit: CallAudit, idempotency_key: str, request: Mapping[str, Any], digest: bytes
) -> PlacedHold:
    """Place a hold for a valid `request` of the audited call's client, whose SHA-256 is `digest`.

    Raises HoldRefused when the service is not covered, or not known to be, or has no room,
    IdempotencyConflict when the key was used for something else, Invalid when the hold would end before it
    begins.
    """
    try:
        placed, images = retrying(lambda: _place(tools, audit, idempotency_key, request, digest))
    except holds.HoldRefused as refusal:
        show_counters(tools, refusal.images)
        raise
    show_counters(tools, images)
    return placed


def _place(
    tools: Tools, audit: CallAudit, idempotency_key: str, request: Mapping[str, Any], digest: bytes
) -> tuple[PlacedHold, Sequence[CounterImage]]:
    """One transaction; the counters to show after it. Raises ConcurrentChange too."""
    client, now = audit.client, tools.clock()
    with tools.store.transaction(client.payers) as tx:
        tx.holds.lock_key(client.client_id, idempotency_key)
        known = tx.holds.find_repeat(client.client_id, idempotency_key)
        if known is not None:
            if known.payload_digest != digest:
                raise IdempotencyConflict
            tx.audit.record([audit.entry(201)])
            with around(Step.AUDIT_COMMIT):
                tx.commit()
            return PlacedHold(answer=known.answer, replayed=True), ()
        expires_at = request.get("expires_at") or _default_expiry(request["service_date"])
        if expires_at <= now:
            raise Invalid([("/expires_at", "The hold would have expired already.")])
        wanted = HoldRequest(
            hold_id=tools.new_id("hld"),
            ref=MemberRef(payer_id=request["payer_id"], member_id=request["member_id"]),
            client_id=client.client_id,
            idempotency_key=idempotency_key,
            payload_digest=digest,
            content={name: value for name, value in request.items() if name not in _NOT_CONTENT},
            quantity=request["quantity"],
            expires_at=expires_at,
        )
        try:
            answer, images = holds.place_hold(tx, tools.rules, now, wanted)
        except holds.HoldRefused:
            # The member's waiting events were applied before it was refused: that stays.
            with around(Step.HOLD_COMMIT):
                tx.commit()
            raise
        except HoldKeyTaken as error:
            # The look-up above saw nothing of it: the hold is of a payer that the client no longer sees.
            raise IdempotencyConflict from error
        tx.audit.record([audit.entry(201)])
        with around(Step.HOLD_COMMIT):
            tx.commit()
    return PlacedHold(answer=answer, replayed=False), images


def _default_expiry(service_date: str) -> datetime:
    """When a hold for a service on this date ends, if its request does not say."""
    day = date.fromisoformat(service_date) + timedelta(days=DAYS_AFTER_SERVICE)
    return datetime.combine(day, time(), tzinfo=UTC)
