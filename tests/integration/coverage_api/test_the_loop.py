"""Ask, report, count, ask again: the main job through the API, with the drain done by hand."""

from __future__ import annotations

import json

import pytest

from tests.api_service import Api, check, event
from tests.builders import MEMBER, PAYER


def used(api: Api, on: str = "2026-03-04") -> int:
    """How many services of the sample member's plan year are used."""
    answer = api.post("/v1/eligibility-checks", check(service_date=on))
    (accumulator,) = answer.get_json()["accumulators"]
    return int(accumulator["used"])


def test_count_rises_with_a_visit_and_starts_again_with_the_year(api: Api) -> None:
    """0 before the visit, 1 after it, 0 in the next plan year."""
    assert used(api) == 0
    assert api.post("/v1/visit-events", event(1)).status_code == 202
    assert api.installation.drain() == 1
    assert used(api) == 1
    assert used(api, "2027-01-01") == 0


def test_twenty_first_visit_is_refused_with_its_reason(api: Api) -> None:
    """Twenty count, the twenty-first is over the limit, and the next check says so with CARC 119."""
    batch = {"events": [event(number) for number in range(1, 22)]}
    results = api.post("/v1/visit-events/batch", batch).get_json()["results"]
    assert [result["status"] for result in results] == [202] * 21
    api.installation.drain()
    outcomes = [api.get(f"/v1/visit-events/e{n}").get_json()["outcome"] for n in range(1, 22)]
    assert [outcome["disposition"] for outcome in outcomes] == ["counted"] * 20 + ["over_limit"]
    answer = api.post("/v1/eligibility-checks", check()).get_json()
    assert answer["decision"] == "not_covered"
    assert (answer["reasons"][0]["code"], answer["reasons"][0]["carc"]) == ("limit_exhausted", "119")
    assert answer["accumulators"][0]["remaining"] == 0


def test_answer_names_its_source(api: Api) -> None:
    """A determination cites the document, version and authority that decided (I10)."""
    source = api.post("/v1/eligibility-checks", check()).get_json()["reasons"][0]["source"]
    assert source["document_id"] == "shp-dry-needling-employer"
    assert source["authority"] == "payer_policy"
    assert source["citation"] == "000_879107c43c50977a.txt"


def test_determination_can_be_fetched_as_it_was_made(api: Api) -> None:
    """The same bytes, also after the count has moved on."""
    made = api.post("/v1/eligibility-checks", check())
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    fetched = api.get(f"/v1/eligibility-checks/{made.get_json()['check_id']}", role="admin")
    assert fetched.data == made.data


def test_checks_in_a_batch_are_answered_each_on_its_own(api: Api) -> None:
    """Good checks are determinations, bad ones problems, in the order they were asked."""
    checks = [check(), check(payer_id="nobody"), check(service_date="soon"), 5, check(lines=[])]
    results = api.post("/v1/eligibility-checks/batch", {"checks": checks}).get_json()["results"]
    assert [result["status"] for result in results] == [201, 404, 422, 422, 422]
    check_id = results[0]["determination"]["check_id"]
    assert api.get(f"/v1/eligibility-checks/{check_id}").get_json() == results[0]["determination"]
    assert results[2]["problem"]["errors"][0]["pointer"] == "/service_date"


def test_unknown_member_and_code_are_answers(api: Api) -> None:
    """Who and what is not known is said in the answer, not refused."""
    stranger = api.post("/v1/eligibility-checks", check(member_id="nobody we know"))
    assert stranger.status_code == 201
    assert stranger.get_json()["decision"] == "unknown_verify_with_plan"
    odd = api.post("/v1/eligibility-checks", check(lines=[{"procedure_code": "99999"}]))
    assert odd.status_code == 201
    assert odd.get_json()["decision"] == "unknown_verify_with_plan"


def test_pending_events_are_shown_beside_the_count(api: Api) -> None:
    """A check between acceptance and counting says that something waits."""
    api.post("/v1/visit-events", event(1))
    (accumulator,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert (accumulator["used"], accumulator["pending_events"]) == (0, 1)


@pytest.mark.parametrize("way", ["batch", "bulk"])
def test_void_that_came_with_its_visit_is_pending_for_the_visits_member(api: Api, way: str) -> None:
    """Also where both lie in the inbox since the same commit."""
    void = {"event_id": "x1", "type": "visit.voided", "visit_id": "v1", "payer_id": PAYER}
    sent = [event(1), event(2), void]
    if way == "batch":
        api.post("/v1/visit-events/batch", {"events": sent})
    else:
        lines = "".join(json.dumps(line) + "\n" for line in sent)
        api.post("/v1/visit-events/bulk", data=lines.encode(), content_type="application/x-ndjson")
    (accumulator,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert accumulator["pending_events"] == 3
    api.installation.drain()
    assert used(api) == 1


def test_accumulators_can_be_searched(api: Api) -> None:
    """Limits stand as a check would say."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04"}
    found = api.post("/v1/accumulators/search", wanted, role="portal").get_json()["accumulators"]
    assert [(f["limit_id"], f["used"], f["remaining"]) for f in found] == [("dry-needling", 1, 19)]


def test_search_that_finds_no_limit_says_why(api: Api) -> None:
    """No accumulators are not a count of zero (I11)."""
    wanted = {"payer_id": PAYER, "member_id": "nobody we know", "service_date": "2026-03-04"}
    found = api.post("/v1/accumulators/search", wanted).get_json()
    assert found["accumulators"] == []
    assert found["reasons"][0]["code"] == "not_enrolled"
    earlier = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2019-12-31"}
    found = api.post("/v1/accumulators/search", earlier).get_json()
    assert found["reasons"][0]["code"] == "before_coverage"


def test_visits_explain_the_count(api: Api) -> None:
    """Each unit of `used` has its visit and event behind it (I14)."""
    for number in (1, 2):
        api.post("/v1/visit-events", event(number))
    api.post("/v1/visit-events", event(3, self_pay=True))
    api.installation.drain()
    found = api.post("/v1/visits/search", {"payer_id": PAYER, "member_id": MEMBER}, role="portal").get_json()
    units = {
        visit["visit_id"]: sum(moved["units"] for moved in visit["accumulators"]) for visit in found["visits"]
    }
    assert units == {"v1": 1, "v2": 1, "v3": 0}
    assert [visit["events"][0]["event_id"] for visit in found["visits"]] == ["e1", "e2", "e3"]
    assert found["visits"][2]["reasons"][0]["code"] == "self_pay"
    assert found["next_cursor"] is None


def test_visits_come_in_pages_without_gap_or_repeat(api: Api) -> None:
    """Following the cursor shows every visit once, in order of service date."""
    days = [f"2026-{month:02}-{day:02}" for month in range(1, 6) for day in range(1, 26)]
    events = [event(n, service_date=on) for n, on in enumerate(reversed(days))]
    assert api.post("/v1/visit-events/batch", {"events": events}).status_code == 200
    api.installation.drain()
    seen: list[str] = []
    cursor = None
    while True:
        wanted = {"payer_id": PAYER, "member_id": MEMBER, "cursor": cursor}
        page = api.post("/v1/visits/search", wanted, role="admin").get_json()
        seen += [visit["service_date"] for visit in page["visits"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == days


def test_visits_can_be_searched_by_span(api: Api) -> None:
    """The span is half-open: the day it ends on is not in it."""
    events = [event(n, service_date=f"2026-03-0{n}") for n in range(1, 6)]
    api.post("/v1/visit-events/batch", {"events": events})
    api.installation.drain()
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "start": "2026-03-02", "end": "2026-03-04"}
    page = api.post("/v1/visits/search", wanted, role="portal").get_json()
    assert [visit["visit_id"] for visit in page["visits"]] == ["v2", "v3"]


def test_third_visit_in_a_week_is_advised_against_and_changes_no_decision(api: Api) -> None:
    """A general article's advice on frequency stands beside the answer (seed fact F56)."""
    for number, day in ((1, "2026-03-02"), (2, "2026-03-03")):
        api.post("/v1/visit-events", event(number, service_date=day))
    api.installation.drain()
    close = api.post("/v1/eligibility-checks", check(service_date="2026-03-05")).get_json()
    later = api.post("/v1/eligibility-checks", check(service_date="2026-04-05")).get_json()
    advised = [{advice["code"] for advice in answer["advisories"]} for answer in (close, later)]
    assert len(advised[0] - advised[1]) == 1
    assert close["decision"] == later["decision"] == "covered_with_conditions"
    # The same beside questions about the first and the last date that may be asked about.
    dates = ("1900-01-01", "2026-03-05", "2026-04-05", "2199-12-31")
    asked = {"checks": [check(service_date=day) for day in dates]}
    together = api.post("/v1/eligibility-checks/batch", asked).get_json()["results"]
    assert [result["status"] for result in together] == [201] * 4, together
    found = [{advice["code"] for advice in result["determination"]["advisories"]} for result in together]
    assert found[1:3] == advised
    assert not (advised[0] - advised[1]) & (found[0] | found[3])
