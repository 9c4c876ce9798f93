"""Every call x every role x every kind of key: nobody gets further than the contract lets them.

The table below is the contract's, written out by hand; a call that is added without a line here fails.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.client import ROLES
from tests.api_service import Api, check, enrollments, event
from tests.builders import MEMBER, PAYER

PLAN = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
SEARCH = {"payer_id": PAYER, "member_id": MEMBER}
GRANT = {
    **SEARCH,
    "limit_id": "dry-needling",
    "service_date": "2026-03-04",
    "quantity": 1,
    "approver": "desk",
    "reason": "appeal",
}

#: Call -> (path, body, roles that may). Paths of single things are those of things that do not exist.
CALLS: dict[str, tuple[str, Any, set[str]]] = {
    "checkEligibility": ("/v1/eligibility-checks", check(), {"ehr", "portal"}),
    "checkEligibilityBatch": ("/v1/eligibility-checks/batch", {"checks": [check()]}, {"ehr", "portal"}),
    "findEligibilityCheck": ("/v1/eligibility-checks/chk_0", None, {"ehr", "portal", "admin"}),
    "recordVisitEvent": ("/v1/visit-events", event(1), {"ehr"}),
    "recordVisitEvents": ("/v1/visit-events/batch", {"events": [event(1)]}, {"ehr"}),
    "loadVisitEvents": ("/v1/visit-events/bulk", b"", {"ehr"}),
    "findVisitEvent": ("/v1/visit-events/e0?client=ehr-all", None, {"ehr", "ops"}),
    "searchAccumulators": (
        "/v1/accumulators/search",
        {**SEARCH, "service_date": "2026-03-04"},
        {"ehr", "portal"},
    ),
    "searchVisits": ("/v1/visits/search", SEARCH, {"portal", "admin"}),
    "placeHold": ("/v1/holds", check(), {"ehr"}),
    "findHold": ("/v1/holds/hld_0", None, {"ehr"}),
    "releaseHold": ("/v1/holds/hld_0/release", None, {"ehr"}),
    "grantOverride": ("/v1/overrides", GRANT, {"admin"}),
    "revokeOverride": ("/v1/overrides/ovr_0/revoke", None, {"admin"}),
    "putPayer": (f"/v1/payers/{PAYER}", {"name": "Security Health Plan"}, {"admin"}),
    "putPlan": (f"/v1/payers/{PAYER}/plans/employer", PLAN, {"admin"}),
    "putEnrollments": ("/v1/enrollments", enrollments(spans=[]), {"admin"}),
    "listRuleDocuments": ("/v1/rule-documents", None, {"admin"}),
    "putRuleDocument": ("/v1/rule-documents/x/versions/1", {"title": "x"}, {"admin"}),
    "searchAudit": ("/v1/audit/search", SEARCH, {"admin"}),
    "readStatus": ("/v1/status", None, {"ops"}),
}

#: Calls whose answer to an outsider is not a 404: they name no payer, or answer item by item.
NO_PAYER = {
    "checkEligibilityBatch",
    "recordVisitEvents",
    "loadVisitEvents",
    "listRuleDocuments",
    "readStatus",
}


def send(api: Api, name: str, key: str) -> Any:
    """Make the call of this name."""
    endpoint = next(e for e in api.service.endpoints if e.name == name)
    path, body, _ = CALLS[name]
    headers = {"Idempotency-Key": "k"}
    if isinstance(body, bytes):
        kind = "application/x-ndjson"
        return api.call(endpoint.method, path, data=body, content_type=kind, key=key, headers=headers)
    return api.call(endpoint.method, path, body, key=key, headers=headers)


def test_no_call_is_missing_here(steady_api: Api) -> None:
    """The table covers exactly the calls there are, with the roles they declare."""
    declared = {e.name: (e.path, set(e.roles)) for e in steady_api.service.endpoints}
    assert set(declared) == set(CALLS)
    assert {name: roles for name, (_, roles) in declared.items()} == {n: r for n, (_, _, r) in CALLS.items()}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_nobody_gets_in_without_a_valid_key(steady_api: Api, name: str) -> None:
    """No key, a stranger's, an expired and a revoked one are all 401."""
    installation = steady_api.installation
    role = min(CALLS[name][2])
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = installation.key(role, name=f"expired-{role}", expires_at=past)
    revoked = installation.key(role, name=f"revoked-{role}")
    installation.write("update client set revoked_at = now() where name = %s", f"revoked-{role}")
    for key in ("", "nck_" + "a" * 16 + "_" + "a" * 52, expired, revoked):
        assert send(steady_api, name, key).status_code == 401


@pytest.mark.parametrize(("name", "role"), list(itertools.product(sorted(CALLS), ROLES)))
def test_roles_open_only_their_own_calls(steady_api: Api, name: str, role: str) -> None:
    """A key of another role is 403; of the right one it is anything but 401 and 403."""
    status = send(steady_api, name, steady_api.installation.key(role)).status_code
    assert (status == 403) is (role not in CALLS[name][2])
    assert status != 401


@pytest.mark.parametrize("name", sorted(set(CALLS) - NO_PAYER))
def test_another_payers_things_are_not_there(steady_api: Api, name: str) -> None:
    """With a key for another payer the answer is the same 404 as for what does not exist."""
    for role in sorted(CALLS[name][2]):
        answer = send(steady_api, name, steady_api.installation.key(role, "medicare"))
        if name == "putRuleDocument":
            # Its payer stands inside the document, which has to be read first.
            assert answer.status_code == 422
        else:
            assert answer.status_code == 404


def test_key_that_is_revoked_closes_at_once(steady_api: Api) -> None:
    """The next call with it is refused, without waiting for anything."""
    installation = steady_api.installation
    key = installation.key("ops", name="to-be-revoked")
    assert steady_api.get("/v1/status", key=key).status_code == 200
    installation.write("update client set revoked_at = now() where name = 'to-be-revoked'")
    assert steady_api.get("/v1/status", key=key).status_code == 401


def test_refusals_of_what_is_hidden_and_what_is_missing_are_alike(api: Api) -> None:
    """By status, text and headers, another payer's payer, check, hold and event look like nothing at all."""
    check_id = api.post("/v1/eligibility-checks", check()).get_json()["check_id"]
    hold = api.post("/v1/holds", check(service_date="2098-01-01"), headers={"Idempotency-Key": "k"})
    api.post("/v1/visit-events", event(1))
    outsider = api.installation.key("ehr", "medicare")
    pairs = [
        (f"/v1/eligibility-checks/{check_id}", "/v1/eligibility-checks/chk_missing"),
        (f"/v1/holds/{hold.get_json()['hold_id']}", "/v1/holds/hld_missing"),
        ("/v1/visit-events/e1", "/v1/visit-events/missing"),
    ]
    for hidden, missing in pairs:
        assert alike(api.get(hidden, key=outsider), api.get(missing, key=outsider))
    for path, body in (("/v1/eligibility-checks", check()), ("/v1/visit-events", event(2))):
        hidden_payer = api.post(path, body, key=outsider)
        assert alike(hidden_payer, api.post(path, {**body, "payer_id": "no-such-payer"}, key=outsider))


def alike(one: Any, other: Any) -> bool:
    """Whether two refusals differ in nothing but their ids."""

    def core(answer: Any) -> tuple[Any, ...]:
        body = {key: value for key, value in answer.get_json(force=True).items() if key != "request_id"}
        headers = {name: value for name, value in answer.headers if name != "X-Request-ID"}
        return answer.status_code, body, headers

    return core(one) == core(other)


def test_status_shows_only_granted_payers(api: Api) -> None:
    """Counts of other payers are not in the sum either."""
    api.post("/v1/visit-events", event(1))
    key = api.installation.key("ops", "medicare", "cigna")
    status = api.get("/v1/status", key=key).get_json()
    assert [payer["payer_id"] for payer in status["payers"]] == ["cigna", "medicare"]
    assert status["visit_events"]["received"] == 0
    everything = api.get("/v1/status", role="ops").get_json()["visit_events"]
    assert (everything["received"], everything["pending"]) == (1, 1)


def test_received_is_the_sum_of_what_became_of_events(api: Api) -> None:
    """Nothing disappears (I7)."""
    api.post("/v1/visit-events/batch", {"events": [event(1), event(2), event(3, visit_id="v1")]})
    api.installation.drain()
    api.post("/v1/visit-events", event(4))
    counts = api.get("/v1/status", role="ops").get_json()["visit_events"]
    assert counts["received"] == 4
    assert counts["applied"] + counts["rejected"] + counts["dead"] + counts["pending"] == 4
    assert (counts["rejected"], counts["pending"]) == (1, 1)
    assert 'needlecap_visit_events{status="received"} 4.0' in api.get("/metrics", key="").text
