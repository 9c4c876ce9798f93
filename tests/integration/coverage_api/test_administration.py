"""Payers, plans and enrollments through the API, and what their changes do to counts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_service import Api, check, enrollments, event
from tests.builders import MEMBER, PAYER

PLAN = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
PLAN_PATH = f"/v1/payers/{PAYER}/plans/employer"


def counts(api: Api, on: str = "2026-03-04") -> list[tuple[str, int]]:
    """Start of the period and used, of each limit that a check shows."""
    answer = api.post("/v1/eligibility-checks", check(service_date=on)).get_json()
    return [(found["period"]["start"], found["used"]) for found in answer["accumulators"]]


def test_new_payer_needs_an_admin_of_all(bare_api: Api) -> None:
    """201 when it is new, 200 when it is there; for an admin of some payers it does not exist."""
    some = bare_api.installation.key("admin", PAYER)
    future = bare_api.installation.key("admin", "new-payer")
    assert bare_api.put("/v1/payers/new-payer", {"name": "New"}, key=some).status_code == 404
    assert bare_api.put("/v1/payers/new-payer", {"name": "New"}, key=future).status_code == 404
    assert bare_api.put("/v1/payers/new-payer", {"name": "New"}).status_code == 201
    assert bare_api.put("/v1/payers/new-payer", {"name": "Renamed"}, key=future).status_code == 200
    assert bare_api.put("/v1/payers/new-payer", {"name": "Again"}, key=some).status_code == 404
    assert bare_api.installation.rows("select name from payer where payer_id = 'new-payer'") == [("Renamed",)]


@pytest.mark.parametrize("payer_id", ["UPPER", "a,b", "*", "a b", "x" * 65])
def test_payer_id_must_be_plain(steady_api: Api, payer_id: str) -> None:
    """An id that could stand for several payers has no address."""
    assert steady_api.put(f"/v1/payers/{payer_id}", {"name": "New"}).status_code == 404


def test_plan_gets_its_defaults(bare_api: Api) -> None:
    """The year starts on January 1 and counts stay behind, unless the plan says otherwise."""
    made = bare_api.put(PLAN_PATH, PLAN)
    assert made.status_code == 201
    assert made.get_json() == {
        **PLAN,
        "payer_id": PAYER,
        "plan_id": "employer",
        "version": 1,
        "region": None,
        "plan_year_start": "01-01",
        "contract_start": None,
        "carry_over": "none",
    }


def test_same_plan_again_changes_nothing(bare_api: Api) -> None:
    """Only a change makes a new version."""
    bare_api.put(PLAN_PATH, PLAN)
    same = bare_api.put(PLAN_PATH, {**PLAN, "carry_over": "none", "region": None})
    assert (same.status_code, same.get_json()["version"]) == (200, 1)
    changed = bare_api.put(PLAN_PATH, {**PLAN, "name": "Other"})
    assert (changed.status_code, changed.get_json()["version"]) == (200, 2)


BAD_PLANS: list[dict[str, Any]] = [
    {"plan_year_start": "13-01"},
    {"plan_year_start": "02-30"},
    {"plan_year_start": "7-1"},
    {"plan_year_start": "2026-07-01"},
    {"funding": "generous"},
    {"market": "black"},
    {"carry_over": True},
    {"contract_start": "2026-07-01T00:00:00Z"},
    {"name": ""},
    {"plan_id": "employer"},
]


@pytest.mark.parametrize("changes", BAD_PLANS)
def test_bad_plan_is_refused(steady_api: Api, changes: dict[str, Any]) -> None:
    """Nothing is stored of a plan that says what no plan can."""
    path = PLAN_PATH + "-refused"
    assert steady_api.put(path, {**PLAN, **changes}).status_code == 422
    kept = steady_api.installation.rows("select count(*) from plan where plan_id = %s", path.split("/")[-1])
    assert kept == [(0,)]


def test_changed_plan_year_counts_its_members_visits_again(api: Api) -> None:
    """After the change the visit lies in the plan year that began in July, before and after the refold."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    assert counts(api) == [("2026-01-01", 1)]
    api.put(PLAN_PATH, {**PLAN, "plan_year_start": "07-01"})
    assert counts(api) == [("2025-07-01", 1)]
    api.installation.drain()
    assert counts(api) == [("2025-07-01", 1)]
    assert counts(api, "2026-07-01") == [("2026-07-01", 0)]


def test_retroactive_end_of_enrollment_takes_visits_back(api: Api) -> None:
    """A visit of a day that is no longer covered counts no more; the change is in the ledger."""
    api.post("/v1/visit-events/batch", {"events": [event(1), event(2, service_date="2026-05-05")]})
    api.installation.drain()
    ended = [{"plan_id": "employer", "start": "2020-01-01", "end": "2026-04-01", "attributes": []}]
    assert api.put("/v1/enrollments", enrollments(spans=ended)).status_code == 200
    assert counts(api) == [("2026-01-01", 1)]
    causes = api.installation.rows("select cause_kind, used_delta from ledger_entry order by entry_no")
    assert causes[-1] == ("enrollment", -1)


def test_retroactive_enrollment_counts_what_was_not_countable(api: Api) -> None:
    """A visit of a stranger counts once the stranger is enrolled."""
    api.post("/v1/visit-events", event(1, member_id="SAMPLE-new"))
    api.installation.drain()
    assert api.put("/v1/enrollments", enrollments(member_id="SAMPLE-new")).status_code == 200
    answer = api.post("/v1/eligibility-checks", check(member_id="SAMPLE-new")).get_json()
    assert answer["accumulators"][0]["used"] == 1


def test_enrollments_are_answered_in_order_of_their_start(api: Api) -> None:
    """Spans may come in any order and without their optional fields."""
    spans = [
        {"plan_id": "employer", "start": "2026-01-01"},
        {"plan_id": "employer", "start": "2020-01-01", "end": "2025-06-01", "attributes": ["retired"]},
    ]
    answer = api.put("/v1/enrollments", enrollments(spans=spans))
    assert answer.get_json() == {
        "payer_id": PAYER,
        "member_id": MEMBER,
        "spans": [
            {"plan_id": "employer", "start": "2020-01-01", "end": "2025-06-01", "attributes": ["retired"]},
            {"plan_id": "employer", "start": "2026-01-01", "end": None, "attributes": []},
        ],
    }


def test_empty_list_ends_all_enrollments(api: Api) -> None:
    """A member without spans is not enrolled."""
    assert api.put("/v1/enrollments", enrollments(spans=[])).status_code == 200
    answer = api.post("/v1/eligibility-checks", check()).get_json()
    assert answer["reasons"][0]["code"] == "not_enrolled"


BAD_SPANS: list[tuple[list[dict[str, Any]], str]] = [
    ([{"plan_id": "nothing", "start": "2026-01-01"}], "/spans/0/plan_id"),
    ([{"plan_id": "employer", "start": "2026-01-01", "end": "2026-01-01"}], "/spans/0/end"),
    ([{"plan_id": "employer", "start": "2026-01-01", "end": "2025-01-01"}], "/spans/0/end"),
    (
        [
            {"plan_id": "employer", "start": "2026-01-01", "end": "2026-06-01"},
            {"plan_id": "employer", "start": "2026-05-31", "end": None},
        ],
        "/spans/1",
    ),
    (
        [
            {"plan_id": "employer", "start": "2026-01-01", "end": None},
            {"plan_id": "employer", "start": "2027-01-01", "end": None},
        ],
        "/spans/1",
    ),
    ([{"plan_id": "employer", "start": "2026-01-01"}] * 2, "/spans/1"),
    ([{"plan_id": "employer"}], "/spans/0/start"),
]


@pytest.mark.parametrize(("spans", "pointer"), BAD_SPANS)
def test_bad_spans_are_pointed_at_and_change_nothing(
    api: Api, spans: list[dict[str, Any]], pointer: str
) -> None:
    """Overlaps, empty spans and unknown plans are refused whole."""
    before = api.installation.rows("select * from enrollment")
    refused = api.put("/v1/enrollments", enrollments(spans=spans))
    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.get_json(force=True)["errors"]] == [pointer]
    assert api.installation.rows("select * from enrollment") == before


def test_merged_member_is_enrolled_under_the_other_id_alone(api: Api) -> None:
    """What is sent for the old id is refused, as the document says, and changes nobody's enrollment."""
    api.installation.write(
        "insert into member (payer_id, member_id, merged_into) values (%s, 'OLD-ID', %s)", PAYER, MEMBER
    )
    before = api.installation.rows("select * from enrollment")
    refused = api.put("/v1/enrollments", enrollments(member_id="OLD-ID", spans=[]))
    assert (refused.status_code, refused.get_json(force=True)["type"]) == (409, "/problems/conflict")
    assert api.installation.rows("select * from enrollment") == before
    documented = api.get("/openapi.json").get_json()["paths"]["/v1/enrollments"]["put"]["responses"]
    assert "409" in documented


def test_span_that_ends_where_the_next_begins_is_fine(api: Api) -> None:
    """Half-open spans meet without overlapping."""
    spans = [
        {"plan_id": "employer", "start": "2026-01-01", "end": "2026-06-01"},
        {"plan_id": "employer", "start": "2026-06-01", "end": "9999-12-31"},
    ]
    assert api.put("/v1/enrollments", enrollments(spans=spans)).status_code == 200


def test_rule_documents_are_listed(bare_api: Api) -> None:
    """The packaged documents run; an admin of one payer sees that payer's and those of none."""
    listed = bare_api.get("/v1/rule-documents", role="admin").get_json()
    ids = {document["document_id"] for document in listed["rule_documents"]}
    assert "shp-dry-needling-employer" in ids
    assert all(document["running"] for document in listed["rule_documents"])
    assert all(document["in_force"] for document in listed["rule_documents"])
    key = bare_api.installation.key("admin", "medicare")
    others = bare_api.get("/v1/rule-documents", key=key).get_json()["rule_documents"]
    assert "shp-dry-needling-employer" not in {document["document_id"] for document in others}
    assert bare_api.get("/v1/rule-documents?cursor=x", role="admin").status_code == 422


RULES: dict[str, Any] = {
    "title": "A smaller limit",
    "authority": "plan_document",
    "source": {"citation": "plan booklet"},
    "effective": {"from": "2026-01-01"},
    "applies_to": [{"payers": [PAYER], "plans": ["employer"]}],
    "rules": [{"decision": "covered", "services": ["dry_needling"]}],
}


COVERED = {"id": "covered", "codes": ["service:dry_needling"], "decision": "covered"}


def test_earlier_version_that_runs_does_not_come_back(bare_api: Api) -> None:
    """Sent again it says that it ran before, and what is in force from when; the list says it too."""
    path, first = "/v1/rule-documents/two-versions/versions", {**RULES, "rules": [COVERED]}
    second = {**first, "effective": {"from": "2026-07-01"}}
    made = bare_api.put(f"{path}/1", first).get_json()
    whole = [{"start": "2026-01-01", "end": None}]
    assert (made["ran_before"], made["in_force"], made["later_versions"]) == (False, whole, [])
    bare_api.put(f"{path}/2", second)
    again = bare_api.put(f"{path}/1", first)
    said = again.get_json()
    assert (again.status_code, said["running"], said["ran_before"]) == (200, True, True)
    assert said["in_force"] == [{"start": "2026-01-01", "end": "2026-07-01"}]
    assert said["later_versions"] == [{"version": 2, "start": "2026-07-01", "end": None}]
    listed = bare_api.get("/v1/rule-documents", role="admin").get_json()["rule_documents"]
    dates = {d["version"]: d["in_force"] for d in listed if d["document_id"] == "two-versions"}
    assert dates == {1: said["in_force"], 2: [{"start": "2026-07-01", "end": None}]}


def test_document_of_another_payer_cannot_be_loaded(bare_api: Api) -> None:
    """The payer is not there for this client; a document for everyone needs an admin of all."""
    key = bare_api.installation.key("admin", "medicare")
    answer = bare_api.put("/v1/rule-documents/small/versions/1", RULES, key=key)
    assert answer.status_code in {404, 422}
    assert bare_api.installation.rows("select count(*) from rule_document where document_id = 'small'") == [
        (0,)
    ]


def test_broken_document_is_refused_and_the_running_catalog_stays(bare_api: Api) -> None:
    """Each fault is named by its place in the document."""
    before = bare_api.get("/v1/status", role="ops").get_json()["versions"]
    answer = bare_api.put("/v1/rule-documents/broken/versions/1", {"title": "Broken", "authority": "king"})
    assert answer.status_code == 422
    assert "/authority" in {fault["pointer"] for fault in answer.get_json(force=True)["errors"]}
    assert bare_api.get("/v1/status", role="ops").get_json()["versions"] == before
