"""The sample data that is shipped."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from deploy.samples.generate import files
from services.coverage_api.schemas.visit_event_reading import read_visit_event
from services.operator_cli.samples import SAMPLES_PATH, VISITS_PATH

Json = dict[str, Any]


def _events() -> list[Json]:
    return [json.loads(line) for line in VISITS_PATH.read_text().splitlines()]


@pytest.mark.parametrize("name", sorted(files()))
def test_shipped_files_are_what_the_script_writes(name: str) -> None:
    """Generating the samples again changes no byte, on any machine."""
    assert (SAMPLES_PATH / name).read_text() == files()[name]


def test_members_are_invented_and_say_so() -> None:
    """Every member id begins with SAMPLE-, and no provider number is one that could be given out."""
    enrollments = json.loads((SAMPLES_PATH / "enrollments.json").read_text())
    members = {enrollment["member_id"] for enrollment in enrollments}
    assert len(members) == len(enrollments)
    assert all(member.startswith("SAMPLE-") for member in members)
    assert {event["member_id"] for event in _events() if "member_id" in event} <= members
    numbers = {event["provider"]["npi"] for event in _events() if "provider" in event}
    assert numbers
    assert all(number.startswith("9") for number in numbers)


def test_every_event_is_one_the_api_takes() -> None:
    """Each line is a well-formed visit event with an id of its own."""
    events = _events()
    assert len({event["event_id"] for event in events}) == len(events)
    for event in events:
        assert read_visit_event(event)["event_id"] == event["event_id"]


def test_year_holds_what_happens_in_a_year() -> None:
    """Corrections, voids, no-shows, cancellations and visits paid by the member are all in it."""
    events = _events()
    types = Counter(event["type"] for event in events)
    statuses = Counter(event.get("visit_status", "completed") for event in events)
    assert types["visit.recorded"] > 250
    assert types["visit.corrected"] >= 4
    assert types["visit.voided"] >= 4
    assert statuses["no_show"] >= 3
    assert statuses["cancelled"] >= 1
    assert sum(event.get("self_pay", False) for event in events) >= 4
    months = {event["service_date"][:7] for event in events if "service_date" in event}
    assert months == {f"2026-{month:02}" for month in range(1, 13)}
