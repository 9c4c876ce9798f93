"""What a visit event must say so that it can be counted: which visit, and one plain date."""

from __future__ import annotations

from typing import Any

import pytest

from services.coverage_api.schemas.visit_event_reading import read_visit_event
from shared.domain.errors import Invalid
from tests.api_service import event


def pointers(body: Any) -> set[str]:
    """The pointers of the faults in a visit event."""
    with pytest.raises(Invalid) as caught:
        read_visit_event(body)
    return {pointer for pointer, _ in caught.value.errors}


@pytest.mark.parametrize("kind", ["visit.corrected", "visit.voided"])
def test_a_correction_or_void_must_name_its_visit(kind: str) -> None:
    """E07: without the reference to the visit it is refused, and nothing is counted."""
    body = event(1, type=kind)
    del body["visit_id"]
    assert "/visit_id" in pointers(body)


def test_a_visit_has_one_date() -> None:
    """E42: a span of dates, on the visit or a line, is refused; each visit says its own date."""
    assert pointers(event(1) | {"service_end": "2027-01-02"}) == {"/service_end"}
    line = {"procedure_code": "20560", "service_date": "2026-12-30"}
    assert pointers(event(1, lines=[line])) == {"/lines/0/service_date"}
