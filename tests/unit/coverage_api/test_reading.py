"""Faults of a body are named by JSON pointers, and never quote the body."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.coverage_api.auditing import CallAudit
from services.coverage_api.schemas.reading import Reader, faults
from services.coverage_api.schemas.service import EligibilityCheckSchema
from services.coverage_api.schemas.visit_event_reading import read_visit_event, report_of
from shared.domain.client import Client
from shared.domain.errors import Invalid
from tests.api_service import HASH_KEY, check, event

AUDIT = CallAudit(
    client=Client(client_id="c", name="c", role="ehr", payers=("*",), credential="c"),
    call="recordVisitEvent",
    request_id="r",
    hash_key=HASH_KEY,
    clock=lambda: datetime(2026, 3, 5, tzinfo=UTC),
)


def pointers(body: Any) -> set[str]:
    """The pointers of the faults in an eligibility check."""
    with pytest.raises(Invalid) as caught:
        Reader(EligibilityCheckSchema).read(body)
    return {pointer for pointer, _ in caught.value.errors}


def test_every_fault_is_pointed_at() -> None:
    """Each fault has its own pointer, also deep in lists."""
    body: dict[str, Any] = check(
        service_date="2026-03-04T10:00:00Z",
        lines=[{"procedure_code": "20560"}, {"procedure_code": "20560", "quantity": "3", "colour": "red"}],
        provider={"type": "wizard"},
        member_id=None,
    )
    assert pointers(body) == {
        "/service_date",
        "/lines/1/quantity",
        "/lines/1/colour",
        "/provider/type",
        "/member_id",
    }


def test_what_is_no_object_is_refused_as_a_whole() -> None:
    """A list or a number has no fields to point at."""
    bodies: list[Any] = [[], 5, "text", None]
    assert all(pointers(body) == {""} for body in bodies)


def test_inner_part_that_is_no_object_is_told_what_it_must_be() -> None:
    """As of the body itself."""
    with pytest.raises(Invalid) as caught:
        Reader(EligibilityCheckSchema).read(check(provider="a clinic"))
    assert list(caught.value.errors) == [("/provider", "Must be a JSON object.")]


def test_pointers_escape_what_the_rfc_asks_for() -> None:
    """A slash and a tilde in a name are written as RFC 6901 has it."""
    assert list(faults({"a/b": {"~": ["no"]}})) == [("/a~1b/~0", "no")]


def test_a_body_with_very_many_faults_is_described_by_some() -> None:
    """The answer to a hostile body stays small."""
    assert len(pointers({f"x{i}": 1 for i in range(5_000)})) <= 50


def test_no_message_repeats_a_value() -> None:
    """A value may be somebody's name; messages speak of the rule, not of the value (I8)."""
    marked = "ZZMARKEDZZ"
    body = dict.fromkeys(check(), marked) | {"lines": [{"procedure_code": marked, "quantity": marked}]}
    with pytest.raises(Invalid) as caught:
        Reader(EligibilityCheckSchema).read(body | {"payer_id": marked, "clinical": marked})
    assert marked not in str(caught.value.errors)


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    """Spans are half-open, so an authorization that ends on its first day has no day."""
    body = check(authorization={"number": "A1", "start": "2026-01-01", "end": "2026-01-01"})
    assert pointers(body) == {"/authorization/end"}


SAME = [
    {},
    {"self_pay": False, "visit_status": "completed"},
    {"hold_id": None, "injury_id": None, "clinical": {}, "authorization": None},
    {"lines": [{"procedure_code": "20560", "quantity": 1, "modifiers": [], "muscles": None}]},
    {"provider": {"type": "physical_therapist", "npi": None, "credentials": []}},
    {"billing_provider": {"credentials": []}},
]


@pytest.mark.parametrize("changes", SAME)
def test_ways_of_saying_the_same_have_one_digest(changes: dict[str, Any]) -> None:
    """An event is the same event with its defaults spelled out or left out (I2)."""
    plain = report_of(AUDIT, read_visit_event(event(1)))
    assert report_of(AUDIT, read_visit_event(event(1, **changes))) == plain


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "MN"},
        {"self_pay": True},
        {"lines": [{"procedure_code": "20560", "quantity": 2}]},
        {"visit_id": "other"},
        {"hold_id": "h"},
        {"type": "visit.corrected"},
        {"payer_id": "medicare"},
    ],
)
def test_other_payloads_have_other_digests(changes: dict[str, Any]) -> None:
    """Whatever changes what an event says changes its digest."""
    plain = report_of(AUDIT, read_visit_event(event(1)))
    assert report_of(AUDIT, read_visit_event(event(1, **changes))).payload_digest != plain.payload_digest


def test_order_of_fields_does_not_matter() -> None:
    """JSON objects have no order, so neither has an event."""
    backwards = dict(reversed(event(1).items()))
    assert report_of(AUDIT, read_visit_event(backwards)) == report_of(AUDIT, read_visit_event(event(1)))


def test_void_needs_only_what_names_it() -> None:
    """A void says nothing of the visit but which it is."""
    names = {"event_id": "e", "type": "visit.voided", "visit_id": "v", "payer_id": "p"}
    assert report_of(AUDIT, read_visit_event(names)).content is None
    with pytest.raises(Invalid):
        read_visit_event(names | {"type": "visit.recorded"})


@pytest.mark.parametrize("kind", [None, 5, "visit.deleted", [], {}])
def test_unknown_type_is_pointed_at(kind: object) -> None:
    """An event that is none of the three kinds is told so."""
    with pytest.raises(Invalid) as caught:
        read_visit_event(event(1, type=kind))
    assert "/type" in {pointer for pointer, _ in caught.value.errors}
