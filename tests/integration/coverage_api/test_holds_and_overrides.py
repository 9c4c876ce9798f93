"""Holds and overrides through the API."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.accounting.check import member_standings
from shared.adapters.catalog_files import packaged_catalog, parse_yaml
from shared.adapters.catalog_source import CatalogSource
from shared.domain.records import MemberRef
from tests.api_service import Api, Installation, check, event
from tests.builders import MEMBER, PAYER

LATER = "2099-01-01T00:00:00Z"


def place(api: Api, key: str = "k1", **changes: Any) -> Any:
    """Ask for a hold under an idempotency key."""
    body = check(expires_at=LATER, **changes)
    return api.post("/v1/holds", body, headers={"Idempotency-Key": key})


def fill(api: Api, visits: int) -> None:
    """Count so many visits of the sample member."""
    api.post("/v1/visit-events/batch", {"events": [event(n) for n in range(1, visits + 1)]})
    api.installation.drain()


def test_hold_keeps_a_unit_until_it_is_released(api: Api) -> None:
    """Held units are shown, and given back."""
    placed = place(api)
    assert placed.status_code == 201
    assert placed.get_json()["state"] == "pending"
    (shown,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert (shown["held"], shown["remaining"]) == (1, 19)
    hold_id = placed.get_json()["hold_id"]
    assert api.post(f"/v1/holds/{hold_id}/release").get_json()["state"] == "released"
    assert api.post(f"/v1/holds/{hold_id}/release").get_json()["state"] == "released"
    assert api.get(f"/v1/holds/{hold_id}").get_json()["state"] == "released"
    (shown,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert (shown["held"], shown["remaining"]) == (0, 20)


def test_hold_counts_as_free_while_its_member_waits_to_be_folded_again(api: Api) -> None:
    """A changed plan year moves what it keeps to another period: the check that names it knows so at once."""
    hold_id = place(api).get_json()["hold_id"]
    plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
    moved = {**plan, "plan_year_start": "07-01"}
    assert api.put(f"/v1/payers/{PAYER}/plans/employer", moved).status_code == 200
    for _ in range(2):
        (shown,) = api.post("/v1/eligibility-checks", check(hold_id=hold_id)).get_json()["accumulators"]
        assert (shown["period"]["start"], shown["held"], shown["remaining"]) == ("2025-07-01", 0, 20)
        api.installation.drain()


class DrainedMeanwhile(dict[Any, Any]):
    """No counters; while they are looked through, between two questions to Postgres, a worker drains."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self._database_url = database_url

    def items(self) -> Any:
        """Nothing, once everything that waited is applied."""
        with contextlib.closing(Installation(self._database_url)) as worker:
            worker.drain()
        return super().items()


def test_member_who_is_saved_while_read_is_read_again(api: Api) -> None:
    """Units that a visit has by now are not let go once more as those of the hold that it posted."""
    hold_id = place(api).get_json()["hold_id"]
    api.post("/v1/visit-events", event(1, hold_id=hold_id))
    ref, database = MemberRef(payer_id=PAYER, member_id=MEMBER), api.installation.database
    with database.transaction([PAYER]) as tx:
        meanwhile = DrainedMeanwhile(api.installation.database_url)
        _, standings = member_standings(tx, CatalogSource(database), meanwhile, [ref])
    (counted,) = standings[ref].accumulators
    assert (counted.used, counted.held, standings[ref].hold_postings) == (1, 0, {})


def test_whoever_asks_before_an_open_year_finds_the_same_room(api: Api) -> None:
    """One of two visits would lie behind the end of an earlier year, which leaves a unit of two in it."""
    per_year: Any = parse_yaml(packaged_catalog() / "documents" / "security-health-plan.yaml").data
    per_year |= {"version": 2, "effective": {"from": "2020-01-01"}}
    per_year["limits"][0] |= {"allowed": 2, "period": {"basis": "first_service_year"}}
    path = f"/v1/rule-documents/{per_year['document_id']}/versions/2"
    assert api.put(path, per_year).status_code == 201
    visits = [event(1, service_date="2026-06-01"), event(2, service_date="2027-05-15")]
    api.post("/v1/visit-events/batch", {"events": visits})
    api.installation.drain()
    search = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04"}
    for path, asked in (("eligibility-checks", check()), ("accumulators/search", search)):
        (shown,) = api.post(f"/v1/{path}", asked).get_json()["accumulators"]
        assert (shown["used"], shown["remaining"]) == (1, 1)
    placed = place(api)
    assert placed.status_code == 201, placed.get_json(force=True)
    (shown,) = placed.get_json()["accumulators"]
    assert (shown["used"], shown["held"], shown["remaining"]) == (1, 1, 0)


def test_last_unit_is_promised_once(api: Api) -> None:
    """Of two clinics that race for the last unit one has a hold, the other a 409."""
    fill(api, 19)
    barrier = threading.Barrier(2)

    def ask(name: str) -> int:
        barrier.wait()
        return int(place(api, name).status_code)

    api.installation.key("ehr")
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(ask, ["a", "b"])) == [201, 409]
    refused = place(api, "c")
    assert refused.get_json(force=True)["type"] == "/problems/limit_exhausted"
    assert refused.get_json(force=True)["reasons"][0]["carc"] == "119"
    assert refused.get_json(force=True)["detail"] == "19 used and 1 held of 20 in this plan year"


def test_more_than_what_is_left_is_refused_with_what_is_left(api: Api) -> None:
    """The problem says how many units the hold would have found."""
    fill(api, 19)
    refused = place(api, quantity=2).get_json(force=True)
    assert refused["type"] == "/problems/limit_exhausted"
    assert refused["detail"] == "19 of 20 used in this plan year, which leaves 1 of the 2 asked for"
    assert [reason["code"] for reason in refused["reasons"]].count("within_limit") == 0


def test_what_is_not_known_to_be_covered_is_not_called_not_covered(api: Api) -> None:
    """A hold for a member whom the payer does not know is refused for that."""
    refused = place(api, member_id="nobody").get_json(force=True)
    assert (refused["status"], refused["type"]) == (409, "/problems/coverage_unknown")
    assert refused["detail"] == refused["reasons"][0]["text"] == "the payer does not know this member"


def test_hold_is_decided_after_pending_events(api: Api) -> None:
    """Twenty visits that nobody has counted yet leave no room."""
    api.post("/v1/visit-events/batch", {"events": [event(n) for n in range(1, 21)]})
    assert place(api).status_code == 409
    assert api.get("/v1/visit-events/e20").get_json()["status"] == "applied"


def test_visit_posts_the_hold_it_names(api: Api) -> None:
    """One count, not two; then the hold cannot be released."""
    hold_id = place(api).get_json()["hold_id"]
    api.post("/v1/visit-events", event(1, hold_id=hold_id))
    api.installation.drain()
    (shown,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert (shown["used"], shown["held"]) == (1, 0)
    assert api.get(f"/v1/holds/{hold_id}").get_json()["state"] == "posted"
    assert api.post(f"/v1/holds/{hold_id}/release").status_code == 409


def test_repeated_request_answers_as_the_first(api: Api) -> None:
    """The same key and body promise nothing more; another body is a conflict."""
    first, again = place(api), place(api)
    assert again.status_code == 201
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.get_json() == first.get_json()
    assert place(api, state="MN").get_json(force=True)["type"] == "/problems/idempotency_conflict"
    assert api.installation.rows("select count(*) from hold") == [(1,)]


def test_key_is_the_clients_own(api: Api) -> None:
    """Two clients may use the same idempotency key, and do not see each other's holds."""
    hold_id = place(api).get_json()["hold_id"]
    other = api.installation.key("ehr", name="other-ehr")
    body = check(expires_at=LATER)
    mine = api.post("/v1/holds", body, key=other, headers={"Idempotency-Key": "k1"})
    assert mine.status_code == 201
    assert mine.get_json()["hold_id"] != hold_id
    assert api.get(f"/v1/holds/{hold_id}", key=other).status_code == 404
    assert api.post(f"/v1/holds/{hold_id}/release", key=other).status_code == 404


def test_key_used_under_another_payer_is_a_conflict(api: Api) -> None:
    """One key, two payers: 409, and the first hold stays the only one."""
    placed = place(api)
    other = api.post(
        "/v1/holds", check(expires_at=LATER, payer_id="medicare"), headers={"Idempotency-Key": "k1"}
    )
    assert other.status_code == 409
    assert other.get_json(force=True)["type"] == "/problems/idempotency_conflict"
    assert api.installation.rows("select hold_id from hold") == [(placed.get_json()["hold_id"],)]


def test_key_used_under_a_payer_since_lost_is_a_conflict_that_tells_nothing(api: Api) -> None:
    """A client learns of a hold behind a wall no more than that its own key is taken (I9)."""
    hold_id = place(api).get_json()["hold_id"]
    api.post(f"/v1/holds/{hold_id}/release")
    api.installation.write("update hold set payer_id = 'medicare'")
    body = check(expires_at=LATER)
    key = api.installation.key("ehr", PAYER)
    api.installation.write(
        "update hold set client_id = (select client_id from client where name = %s)", f"ehr-{PAYER}"
    )
    refused = api.post("/v1/holds", body, key=key, headers={"Idempotency-Key": "k1"})
    assert refused.status_code == 409
    assert refused.get_json(force=True)["type"] == "/problems/idempotency_conflict"
    assert hold_id not in refused.text
    assert api.installation.rows("select count(*) from hold") == [(1,)]
    again = api.post("/v1/holds", body, key=key, headers={"Idempotency-Key": "k2"})
    assert again.status_code == 201


@pytest.mark.parametrize("key", [None, "", "x" * 201])
def test_hold_needs_a_key(api: Api, key: str | None) -> None:
    """Without a usable key a repeat could not be told from a second request."""
    headers = {} if key is None else {"Idempotency-Key": key}
    assert api.post("/v1/holds", check(expires_at=LATER), headers=headers).status_code == 400


def test_hold_that_would_be_over_already_is_refused(api: Api) -> None:
    """Nothing can be promised until yesterday."""
    refused = api.post(
        "/v1/holds", check(expires_at="2020-01-01T00:00:00Z"), headers={"Idempotency-Key": "k"}
    )
    assert refused.status_code == 422


def test_hold_ends_three_days_after_its_service_by_default(api: Api) -> None:
    """Unless it says otherwise."""
    answer = api.post("/v1/holds", check(service_date="2098-03-04"), headers={"Idempotency-Key": "k"})
    assert answer.get_json()["expires_at"] == "2098-03-07T00:00:00Z"


def test_check_that_names_a_hold_counts_its_unit_as_free(api: Api) -> None:
    """The patient who holds the last unit is covered."""
    fill(api, 19)
    hold_id = place(api).get_json()["hold_id"]
    without = api.post("/v1/eligibility-checks", check()).get_json()
    assert without["decision"] == "not_covered"
    assert without["reasons"][0]["text"] == "19 used and 1 held of 20 in this plan year"
    named = api.post("/v1/eligibility-checks", check(hold_id=hold_id)).get_json()
    assert named["decision"] == "covered_with_conditions"
    slip = api.post("/v1/eligibility-checks", check(hold_id="hld_slip")).get_json()
    assert (slip["decision"], slip["advisories"][-1]["code"]) == ("not_covered", "hold_not_pending")


def grant(**changes: Any) -> dict[str, Any]:
    """An override for the sample member."""
    return {
        "payer_id": PAYER,
        "member_id": MEMBER,
        "limit_id": "dry-needling",
        "service_date": "2026-03-04",
        "quantity": 1,
        "approver": "appeals desk",
        "reason": "appeal won",
        **changes,
    }


def test_override_gives_the_next_visit_its_unit_and_takes_it_back(api: Api) -> None:
    """The twenty-first visit counts while the override stands."""
    fill(api, 21)
    granted = api.post("/v1/overrides", grant(), role="admin")
    assert granted.status_code == 201
    (shown,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert (shown["allowed"], shown["used"], shown["remaining"]) == (21, 21, 0)
    override_id = granted.get_json()["override_id"]
    revoked = api.post(f"/v1/overrides/{override_id}/revoke", role="admin")
    assert revoked.get_json()["revoked_at"] is not None
    again = api.post(f"/v1/overrides/{override_id}/revoke", role="admin")
    assert again.get_json()["revoked_at"] == revoked.get_json()["revoked_at"]
    (shown,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert (shown["allowed"], shown["used"], shown["remaining"]) == (20, 20, 0)


def test_override_sent_again_under_its_key_grants_once(api: Api) -> None:
    """A repeat answers with the override as it stands; another payload, or payer, under the key is a 409."""
    named = {"headers": {"Idempotency-Key": "appeal-7"}, "role": "admin"}
    first = api.post("/v1/overrides", grant(), **named)
    again = api.post("/v1/overrides", grant(), **named)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.get_json() == first.get_json()
    api.post(f"/v1/overrides/{first.get_json()['override_id']}/revoke", role="admin")
    assert api.post("/v1/overrides", grant(), **named).get_json()["revoked_at"] is not None
    for changed in (grant(quantity=2), grant(payer_id="medicare")):
        refused = api.post("/v1/overrides", changed, **named)
        assert refused.status_code == 409
        assert refused.get_json(force=True)["type"] == "/problems/idempotency_conflict"
    assert api.installation.rows("select count(*) from override_grant") == [(1,)]


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_override_under_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    """A name that cannot be kept would not make the request safe to repeat."""
    refused = api.post("/v1/overrides", grant(), role="admin", headers={"Idempotency-Key": key})
    assert refused.status_code == 400
    assert api.installation.rows("select count(*) from override_grant") == [(0,)]


def test_override_of_a_limit_that_is_not_there_is_refused(api: Api) -> None:
    """A slip of the pen in the limit's name does not pass for a grant."""
    refused = api.post("/v1/overrides", grant(limit_id="dry-needeling"), role="admin")
    assert refused.status_code == 422


def test_override_of_another_payer_cannot_be_revoked(api: Api) -> None:
    """It is not there for an admin of another payer."""
    override_id = api.post("/v1/overrides", grant(), role="admin").get_json()["override_id"]
    key = api.installation.key("admin", "medicare")
    assert api.post(f"/v1/overrides/{override_id}/revoke", key=key).status_code == 404
