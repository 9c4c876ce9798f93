"""Every call of a known client is in the audit trail before it is answered; nothing about people is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from shared.domain.audit import PURPOSES, member_hash
from shared.domain.records import MemberRef
from tests.api_service import HASH_KEY, Api, check, event
from tests.builders import MEMBER, PAYER

_numbers = itertools.count(1)

#: What the trail calls the sample member.
HASH = member_hash(HASH_KEY, MemberRef(payer_id=PAYER, member_id=MEMBER))


class Trail:
    """Makes calls that can be told apart, and reads what the trail says of each."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> tuple[TestResponse, list[tuple[Any, ...]]]:
        """An answer, and the trail's (call, payer, member, status, problem, items, purpose) of it."""
        request_id = f"audited-{next(_numbers)}"
        sent = {"X-Request-ID": request_id, "Idempotency-Key": request_id, **(headers or {})}
        answer = self.api.call(method, path, body, headers=sent, **more)
        found = self.api.installation.rows(
            "select call, payer_id, member_hash, status, problem, items, purpose from audit_entry"
            " where request_id = %s order by audit_no",
            request_id,
        )
        return answer, found


@pytest.fixture
def trail(steady_api: Api) -> Trail:
    """The trail of the service that all tests share."""
    return Trail(steady_api)


def test_answers_and_refusals_are_in_the_trail_with_member_and_purpose(trail: Trail) -> None:
    """What was asked and read, and what was refused for its role, payer, body, header or id."""
    asked, found = trail.call("POST", "/v1/eligibility-checks", check())
    assert found == [("checkEligibility", PAYER, HASH, 201, None, 1, "TREAT")]
    address = f"/v1/eligibility-checks/{asked.get_json()['check_id']}"
    read = ("findEligibilityCheck", PAYER, HASH, 200, None, 1)
    assert trail.call("GET", address, role="portal")[1] == [(*read, "COVERAGE")]
    page = trail.call("GET", address, role="admin", headers={"Accept": "text/html"})
    assert page[1] == [(*read, "HOPERAT")]
    refused = [
        (trail.call("GET", address, role="ops"), (None, None, 403, "forbidden", 1, "HSYSADMIN")),
        (trail.call("GET", "/v1/eligibility-checks/chk_0"), (None, None, 404, "not_found", 1, "TREAT")),
        (
            trail.call("GET", address, headers={"X-Purpose-Of-Use": "CURIOSITY"}),
            (None, None, 400, "missing_header", 1, "TREAT"),
        ),
    ]
    for (answer, entries), expected in refused:
        assert (answer.status_code, entries) == (expected[2], [("findEligibilityCheck", *expected)])
    body = check(payer_id="no-such-payer")
    assert trail.call("POST", "/v1/eligibility-checks", body)[1] == [
        ("checkEligibility", None, None, 404, "payer_not_found", 1, "TREAT")
    ]
    assert trail.call("POST", "/v1/eligibility-checks", check(lines=[]))[1] == [
        ("checkEligibility", PAYER, HASH, 422, "invalid_request", 1, "TREAT")
    ]


def test_purpose_is_what_the_caller_says_from_a_closed_list(trail: Trail) -> None:
    """Each code is taken as it stands; in other letters it is none."""
    for purpose in PURPOSES:
        _, found = trail.call("GET", "/v1/status", role="ops", headers={"X-Purpose-Of-Use": purpose})
        assert [entry[-1] for entry in found] == [purpose]
    answer, _ = trail.call("GET", "/v1/status", role="ops", headers={"X-Purpose-Of-Use": "treat"})
    assert answer.status_code == 400


def test_who_called_is_told_by_client_and_key_and_nobody_without_one(trail: Trail) -> None:
    """The prefix of the key that was shown is there; a call that nobody is known to have made is not."""
    trail.call("GET", "/v1/status", role="ops")
    installation = trail.api.installation
    prefix = installation.key("ops").split("_")[1]
    ((client, credential),) = installation.rows(
        "select c.name, a.credential from audit_entry a join client c using (client_id)"
        " order by audit_no desc limit 1"
    )
    assert (client, credential) == ("ops-all", prefix)
    for key in ("", "nck_" + "a" * 16 + "_" + "a" * 52):
        answer, found = trail.call("GET", "/v1/status", key=key)
        assert (answer.status_code, found) == (401, [])


def test_items_are_told_by_what_became_of_them(bare_api: Api) -> None:
    """One entry for the events of a call and payer; each check names its member; refusals are counted."""
    trail = Trail(bare_api)
    events = [event(number) for number in (1, 2)] + [event(3, payer_id="medicare"), event(4, lines=[])]
    _, found = trail.call("POST", "/v1/visit-events/batch", {"events": events})
    hashed = member_hash(HASH_KEY, MemberRef(payer_id="medicare", member_id=MEMBER))
    assert found == [
        ("recordVisitEvents", PAYER, None, 202, None, 2, "TREAT"),
        ("recordVisitEvents", "medicare", hashed, 202, None, 1, "TREAT"),
        ("recordVisitEvents", None, None, 422, "invalid_request", 1, "TREAT"),
    ]
    _, found = trail.call("POST", "/v1/eligibility-checks/batch", {"checks": [check(), {}, check()]})
    assert found == [
        *[("checkEligibilityBatch", PAYER, HASH, 201, None, 1, "TREAT")] * 2,
        ("checkEligibilityBatch", None, None, 422, "invalid_request", 1, "TREAT"),
    ]
    conflict, found = trail.call("POST", "/v1/visit-events", event(1, state="MN"))
    assert conflict.status_code == 409
    assert found == [("recordVisitEvent", PAYER, HASH, 409, "event_conflict", 1, "TREAT")]
    _, found = trail.call(
        "POST", "/v1/visit-events/bulk", data=b"{}\n" * 3, content_type="application/x-ndjson"
    )
    assert [(entry[0], *entry[3:6]) for entry in found] == [
        ("loadVisitEvents", 200, None, 1),
        ("loadVisitEvents", 422, "invalid_request", 3),
    ]


def test_record_and_its_entry_are_one_commit(api: Api) -> None:
    """A check, an event, a hold and an override are never stored without their entry, nor it without them."""
    grant = {"limit_id": "dry-needling", "quantity": 1, "approver": "desk", "reason": "appeal"}
    grant |= {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04"}
    future = check(service_date="2098-01-01")
    for path, table, body, role in (
        ("/v1/eligibility-checks", "determination", check(), "ehr"),
        ("/v1/visit-events", "visit_event", event(1), "ehr"),
        ("/v1/holds", "hold", future, "ehr"),
        ("/v1/overrides", "override_grant", grant, "admin"),
    ):
        answer, found = Trail(api).call("POST", path, body, role=role)
        assert answer.status_code in {201, 202}
        assert [(entry[2], entry[3]) for entry in found] == [(HASH, answer.status_code)]
        ((same,),) = api.installation.rows(
            f"select (select xmin::text from {table}) = (select xmin::text from audit_entry"
            " order by audit_no desc limit 1)"
        )
        assert same, path


def test_call_that_cannot_be_audited_fails_closed(bare_api: Api) -> None:
    """503 for whatever is asked, and nothing of it is stored."""
    bare_api.installation.write("revoke insert on audit_entry from needlecap_app")
    calls = [
        ("POST", "/v1/eligibility-checks", check(), "ehr"),
        ("POST", "/v1/visit-events", event(1), "ehr"),
        ("POST", "/v1/visit-events/batch", {"events": [event(2)]}, "ehr"),
        ("GET", "/v1/status", None, "ops"),
        ("GET", "/v1/eligibility-checks/chk_0", None, "ehr"),
        ("PUT", f"/v1/payers/{PAYER}", {"name": "Another name"}, "admin"),
    ]
    for method, path, body, role in calls:
        answer = bare_api.call(method, path, body, role=role)
        assert answer.status_code == 503, path
        assert answer.get_json(force=True)["type"] == "/problems/indeterminate"
    stored = bare_api.installation.rows(
        "select (select count(*) from determination), (select count(*) from visit_event),"
        " (select count(*) from payer where name = 'Another name')"
    )
    assert stored == [(0, 0, 0)]


def test_trail_is_append_only(bare_api: Api) -> None:
    """Neither the services nor the database's owner can change or delete what must be kept."""
    installation = bare_api.installation
    bare_api.get("/v1/status", role="ops")
    attempts = ("update audit_entry set call = 'x'", "delete from audit_entry", "truncate audit_entry")
    with psycopg.connect(installation.database_url) as connection:
        for role in ("needlecap_app", "none"):
            for attempt in attempts:
                connection.execute(f"set role {role}")
                connection.execute("set needlecap.payers = '*'")
                with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException)):
                    connection.execute(attempt)
                connection.rollback()
    assert installation.rows("select count(*) from audit_entry") == [(1,)]


def test_prune_deletes_what_is_older_than_is_kept_and_nothing_else(bare_api: Api) -> None:
    """Six years are kept, unless the owner says otherwise; pruning again finds nothing."""
    installation = bare_api.installation
    installation.write(
        "insert into audit_entry (called_at, client_id, credential, call, request_id, purpose, status, items)"
        " select now() - make_interval(days => days), 'c', 'c', 'c', days::text, 'TREAT', 200, 1"
        " from unnest(array[2193, 2191, 30]) as days"
    )
    with installation.database.transaction(("*",)) as tx:
        assert [tx.audit.prune(), tx.audit.prune()] == [1, 0]
        tx.commit()
    assert installation.rows("select request_id from audit_entry order by 1") == [("2191",), ("30",)]
    with psycopg.connect(installation.database_url) as connection:
        connection.execute("set role needlecap_app")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update audit_retention set days = 1")
    installation.write("update audit_retention set days = 90")
    with installation.database.transaction(()) as tx:
        assert tx.audit.prune() == 1
        tx.commit()


def test_trail_of_a_member_shows_calls_and_events_to_the_payers_admin(api: Api) -> None:
    """Who checked, who sent events, who read, and who asked for the trail; page by page, and by time."""
    started = datetime.now(UTC)
    assert api.post("/v1/eligibility-checks", check(), role="portal").status_code == 201
    assert api.post("/v1/visit-events/batch", {"events": [event(1), event(2)]}).status_code == 200
    api.post("/v1/eligibility-checks", check(member_id="SOMEBODY-ELSE"))
    api.installation.drain()
    api.post("/v1/visits/search", {"payer_id": PAYER, "member_id": MEMBER}, role="portal")
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "start": started.isoformat()}
    key = api.installation.key("admin", PAYER)
    seen = [
        (line["kind"], line["client"], line["call"], line["event_id"])
        for line in api.post("/v1/audit/search", wanted, key=key).get_json()["entries"]
    ]
    assert seen == [
        ("call", "portal-all", "checkEligibility", None),
        ("visit_event", "ehr-all", "visit.recorded", "e1"),
        ("visit_event", "ehr-all", "visit.recorded", "e2"),
        ("call", "portal-all", "searchVisits", None),
    ]
    again = api.post("/v1/audit/search", wanted, key=key).get_json()["entries"]
    assert (len(again), again[-1]["call"]) == (len(seen) + 1, "searchAudit")
    ended = {**wanted, "end": again[1]["at"]}
    assert len(api.post("/v1/audit/search", ended, key=key).get_json()["entries"]) == 1
    foreign = {**wanted, "payer_id": "medicare"}
    assert api.post("/v1/audit/search", foreign, key=key).status_code == 404
    everything = api.post("/v1/audit/search", foreign, role="admin")
    assert everything.get_json() == {"entries": [], "next_cursor": None}


def test_trail_is_read_page_by_page_and_under_every_id_of_a_person(api: Api) -> None:
    """A merged member's calls are the person's too; no line comes twice or is left out."""
    installation = api.installation
    api.post("/v1/eligibility-checks", check())
    installation.write(
        "insert into audit_entry (called_at, client_id, credential, call, request_id, purpose, payer_id,"
        " member_hash, status, items)"
        " select '2026-01-01', 'c', 'c', 'checkEligibility', n::text, 'TREAT', %s, %s, 201, 1"
        " from generate_series(1, 600) n",
        PAYER,
        member_hash(HASH_KEY, MemberRef(payer_id=PAYER, member_id="OLD-ID")),
    )
    installation.write(
        "insert into member (payer_id, member_id, merged_into) values (%s, 'OLD-ID', %s)", PAYER, MEMBER
    )
    wanted: dict[str, Any] = {"payer_id": PAYER, "member_id": MEMBER}
    first = api.post("/v1/audit/search", wanted, role="admin").get_json()
    second = api.post("/v1/audit/search", {**wanted, "cursor": first["next_cursor"]}, role="admin").get_json()
    lines = [*first["entries"], *second["entries"]]
    assert [line["request_id"] for line in lines[:600]] == [str(number) for number in range(1, 601)]
    assert [line["call"] for line in lines[600:]] == ["putEnrollments", "checkEligibility", "searchAudit"]
    assert second["next_cursor"] is None
    for broken in ("x", "WzEsMl0", "WyIyMDI2IiwieCIsMV0"):
        assert api.post("/v1/audit/search", {**wanted, "cursor": broken}, role="admin").status_code == 422
