"""Builders of the values that tests speak in. Everybody in here is invented."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.history import History
from shared.domain.hold_records import HoldRequest
from shared.domain.records import MemberRef
from shared.domain.service import Provider, Service, ServiceLine
from shared.domain.visit import Visit, VisitContent, VisitKey

PAYER = "security-health-plan"
MEMBER = "SAMPLE-100"
NOW = datetime(2026, 3, 4, 15, 4, 5, tzinfo=UTC)


def plan(plan_id: str = "employer", **changes: Any) -> Plan:
    """A fully insured employer plan of Security Health Plan."""
    fields: dict[str, Any] = {
        "payer_id": PAYER,
        "plan_id": plan_id,
        "name": "Employer plan",
        "funding": "fully_insured",
        "market": "group",
    }
    return Plan(**{**fields, **changes})


def history(*, plans: Iterable[Plan] = (), spans: Iterable[EnrollmentSpan] = (), **changes: Any) -> History:
    """A member enrolled in one plan from 2020 on, unless said otherwise."""
    held = {p.plan_id: p for p in plans} or {"employer": plan()}
    enrolled = tuple(spans) or (EnrollmentSpan(plan_id=next(iter(held)), start=date(2020, 1, 1)),)
    fields: dict[str, Any] = {"payer_id": PAYER, "member_id": MEMBER, "spans": enrolled, "plans": held}
    return History(**{**fields, **changes})


def service(on: date = date(2026, 3, 4), codes: Iterable[str] = ("20560",), **changes: Any) -> Service:
    """One dry needling session by a physical therapist in Wisconsin."""
    fields: dict[str, Any] = {
        "service_date": on,
        "lines": tuple(ServiceLine(procedure_code=code) for code in codes),
        "provider": Provider(type="physical_therapist"),
        "state": "WI",
    }
    return Service(**{**fields, **changes})


def visit(number: int, on: date = date(2026, 3, 4), *, arrival: int | None = None, **content: Any) -> Visit:
    """Visit `v<number>` of client `c`, recorded as the event with arrival `number`."""
    fields: dict[str, Any] = {"member_id": MEMBER, "service": service(on)}
    return Visit(
        key=VisitKey(client_id="c", visit_id=f"v{number}"),
        arrival=number if arrival is None else arrival,
        received_on=on,
        content=VisitContent(**{**fields, **content}),
    )


def hold_request(hold_id: str, ref: MemberRef, on: str = "2026-06-01", **changes: Any) -> HoldRequest:
    """Client `c` asks for one unit for a dry needling session, for nine days from now."""
    fields: dict[str, Any] = {
        "client_id": "c",
        "idempotency_key": hold_id,
        "payload_digest": b"d",
        "content": {"service_date": on, "lines": [{"procedure_code": "20560"}]},
        "quantity": 1,
        "expires_at": datetime.now(UTC) + timedelta(days=9),
    }
    return HoldRequest(hold_id=hold_id, ref=ref, **{**fields, **changes})
