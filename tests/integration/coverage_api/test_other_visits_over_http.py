"""Rules that look at a member's other visits, over HTTP with the worker's drain in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from shared.accounting.replay import replay
from shared.adapters.catalog_source import CatalogSource
from shared.domain.client import EVERY_PAYER
from tests.api_service import Api, Json, check, enrollments, event, serving
from tests.builders import PAYER
from tests.servers import Postgres, Server

#: Needling is bundled with manual therapy of the day, and covered for eight weeks from the first session.
POLICY: Json = {
    "title": "An employer's own plan",
    "authority": "plan_document",
    "source": {"citation": "the plan's summary, page 12"},
    "effective": {"from": "2020-01-01"},
    "applies_to": [{"payers": [PAYER], "plans": ["employer"]}],
    "rules": [
        {
            "id": "bundled",
            "codes": ["service:dry_needling"],
            "when": {"other_codes_on_day": ["97140"]},
            "decision": "not_covered",
            "reason": "bundled_same_day",
        },
        {
            "id": "course",
            "codes": ["service:dry_needling"],
            "decision": "covered",
            "criteria": [
                {
                    "id": "eight-weeks",
                    "test": {"days_since_first_visit": {"limit": "course", "at_most": 55}},
                    "reason": "frequency_exceeded",
                }
            ],
        },
        {"id": "uncounted", "codes": ["97112"], "decision": "covered"},
    ],
    "limits": [
        {
            "limit_id": "course",
            "codes": ["service:dry_needling"],
            "allowed": 20,
            "period": {"basis": "plan_year"},
        }
    ],
}


@pytest.fixture(scope="module")
def course_api(postgres: Postgres, valkey: Server) -> Iterator[Api]:
    """One service with that document; each test has a member of its own."""
    with postgres.database("other_visits") as url, serving(url, valkey.url) as api:
        plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
        assert api.put(f"/v1/payers/{PAYER}/plans/employer", plan).status_code == 201
        assert api.put("/v1/rule-documents/sample-course/versions/1", POLICY).status_code == 201
        yield api


class Member:
    """A member under that document, with what their clinic reports and asks."""

    def __init__(self, api: Api, member_id: str) -> None:
        self.api, self.member_id = api, member_id
        assert api.put("/v1/enrollments", enrollments(member_id=member_id)).status_code == 200

    def report(self, number: int, on: str, *codes: str, **changes: Any) -> str:
        """Report a visit with these codes (needling, if none); what became of it on arrival."""
        name = f"{self.member_id}-{number}"
        body = event(
            number, service_date=on, lines=[{"procedure_code": code} for code in codes or ("20560",)]
        )
        body |= {"event_id": name, "visit_id": name, "member_id": self.member_id, **changes}
        return self._send(body)

    def void(self, number: int) -> None:
        """Take a visit back."""
        name = f"{self.member_id}-{number}"
        self._send({"event_id": f"{name}-x", "type": "visit.voided", "visit_id": name, "payer_id": PAYER})

    def _send(self, body: Json) -> str:
        sent = self.api.post("/v1/visit-events", body)
        assert sent.status_code == 202, sent.get_json()
        self.api.installation.drain()
        outcome = self.api.get(f"/v1/visit-events/{body['event_id']}").get_json()["outcome"]
        return str(outcome["disposition"])

    def check(self, on: str) -> Json:
        """A check of needling on a date."""
        return dict(self.api.post("/v1/eligibility-checks", self.asking(on)).get_json())

    def asking(self, on: str) -> Json:
        """The request of such a check."""
        return check(service_date=on, member_id=self.member_id)

    def told(self, on: str) -> tuple[str, str]:
        """The decision and the first reason of a check."""
        answer = self.check(on)
        return answer["decision"], answer["reasons"][0]["code"]

    def dispositions(self) -> list[str]:
        """What has become of each visit by now, in the order they were reported."""
        body = {"payer_id": PAYER, "member_id": self.member_id}
        visits = self.api.post("/v1/visits/search", body, role="portal").get_json()["visits"]
        return [visit["disposition"] for visit in sorted(visits, key=lambda visit: visit["visit_id"])]


def test_other_visit_of_the_day_decides_in_checks_and_in_counting(course_api: Api) -> None:
    """A check says what the visit meets: bundled while the therapy stands, covered once it is void."""
    ann = Member(course_api, "SAMPLE-ANN")
    assert ann.told("2026-03-04") == ("covered", "within_limit")
    assert ann.report(1, "2026-03-04", "97140") == "not_countable"
    bundled = ann.check("2026-03-04")
    assert (bundled["decision"], bundled["reasons"][0]["code"]) == ("not_covered", "bundled_same_day")
    assert ann.told("2026-03-05") == ("covered", "within_limit")
    assert ann.report(2, "2026-03-04") == "not_covered"
    ann.void(1)
    assert ann.dispositions() == ["voided", "counted"]
    assert ann.told("2026-03-04") == ("covered", "within_limit")
    database = course_api.installation.database
    with database.transaction(EVERY_PAYER) as tx:
        kept = tx.determinations.find(bundled["check_id"])
        assert kept is not None
        assert replay(tx.ledger, CatalogSource(database).current(tx), kept).is_same


def test_correction_of_the_earlier_visit_moves_the_later_one(course_api: Api) -> None:
    """The therapy is moved onto the day of a counted session that was told after it."""
    ben = Member(course_api, "SAMPLE-BEN")
    assert ben.report(1, "2026-03-03", "97140") == "not_countable"
    assert ben.report(2, "2026-03-04") == "counted"
    moved = {"type": "visit.corrected", "event_id": "SAMPLE-BEN-1-moved"}
    assert ben.report(1, "2026-03-04", "97140", **moved) == "not_countable"
    assert ben.dispositions() == ["not_countable", "not_covered"]


def test_course_runs_from_the_first_counted_visit(course_api: Api) -> None:
    """Eight weeks from the first; voiding it lets the course begin with the next."""
    cam = Member(course_api, "SAMPLE-CAM")
    assert cam.report(1, "2026-03-02") == "counted"
    assert cam.report(2, "2026-03-20") == "counted"
    assert cam.told("2026-04-26") == ("covered", "within_limit")
    assert cam.told("2026-04-27") == ("not_covered", "frequency_exceeded")
    assert cam.report(3, "2026-04-27") == "not_covered"
    cam.void(1)
    assert cam.dispositions() == ["voided", "counted", "counted"]


def test_hold_is_refused_for_what_is_bundled_that_day(course_api: Api) -> None:
    """A hold is decided like a check, with the other visits of the day."""
    dee, days = Member(course_api, "SAMPLE-DEE"), ("2099-03-04", "2099-03-05")
    assert dee.report(1, days[0], "97140") == "not_countable"
    bundled, free = (
        course_api.post("/v1/holds", dee.asking(on), headers={"Idempotency-Key": f"dee-{on}"}) for on in days
    )
    assert (bundled.status_code, bundled.get_json()["type"]) == (409, "/problems/not_covered")
    assert free.status_code == 201


def test_hold_of_what_no_limit_counts_is_refused_for_that(course_api: Api) -> None:
    """It is covered, and there is nothing to hold."""
    fay = Member(course_api, "SAMPLE-FAY")
    asked = {**fay.asking("2099-03-04"), "lines": [{"procedure_code": "97112"}]}
    refused = course_api.post("/v1/holds", asked, headers={"Idempotency-Key": "fay"})
    assert (refused.status_code, refused.get_json()["type"]) == (409, "/problems/nothing_to_hold")
