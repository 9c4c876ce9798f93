"""Every call x every role x every kind of key: nobody gets further than the contract lets them.

The tables below are the contract's, written out by hand; a route that is added without a line here fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.coverage_api.app import flask_rule
from shared.domain.client import ROLES
from tests.api_service import Api, check, enrollments, event
from tests.builders import MEMBER, PAYER
from tests.integration.coverage_api.walled import DOCUMENT, GRANT, HELD, OTHER, PLAN, Walled, document

SEARCH = {"payer_id": PAYER, "member_id": MEMBER}
COUNTS = {**SEARCH, "service_date": "2026-03-04"}


@dataclass(frozen=True, slots=True)
class Line:
    """A call: what is sent, the roles that may, and what they get for their own payer and for another's."""

    path: str
    body: Any
    roles: set[str]
    own: int
    other: int = 404


#: What exists is the payer's; calls that name no payer, or answer item by item, are 200 for others too.
CALLS: dict[str, Line] = {
    "checkEligibility": Line("/v1/eligibility-checks", check(), {"ehr", "portal"}, 201),
    "checkEligibilityBatch": Line(
        "/v1/eligibility-checks/batch", {"checks": [check()]}, {"ehr", "portal"}, 200, 200
    ),
    "findEligibilityCheck": Line("/v1/eligibility-checks/{check_id}", None, {"ehr", "portal", "admin"}, 200),
    "recordVisitEvent": Line("/v1/visit-events", event(1), {"ehr"}, 202),
    "recordVisitEvents": Line("/v1/visit-events/batch", {"events": [event(1)]}, {"ehr"}, 200, 200),
    "loadVisitEvents": Line("/v1/visit-events/bulk", b"", {"ehr"}, 200, 200),
    "findVisitEvent": Line("/v1/visit-events/e1?client={client}", None, {"ehr", "ops"}, 200),
    "searchAccumulators": Line("/v1/accumulators/search", COUNTS, {"ehr", "portal"}, 200),
    "searchVisits": Line("/v1/visits/search", SEARCH, {"portal", "admin"}, 200),
    "placeHold": Line("/v1/holds", HELD, {"ehr"}, 201),
    "findHold": Line("/v1/holds/{hold_id}", None, {"ehr"}, 200),
    "releaseHold": Line("/v1/holds/{released_id}/release", None, {"ehr"}, 200),
    "grantOverride": Line("/v1/overrides", GRANT, {"admin"}, 201),
    "revokeOverride": Line("/v1/overrides/{override_id}/revoke", None, {"admin"}, 201),
    "putPayer": Line(f"/v1/payers/{PAYER}", {"name": "Security Health Plan"}, {"admin"}, 200),
    "putPlan": Line(f"/v1/payers/{PAYER}/plans/employer", PLAN, {"admin"}, 200),
    "putEnrollments": Line("/v1/enrollments", enrollments(), {"admin"}, 200),
    "listRuleDocuments": Line("/v1/rule-documents", None, {"admin"}, 200, 200),
    "putRuleDocument": Line(f"/v1/rule-documents/{DOCUMENT}/versions/1", document(), {"admin"}, 200),
    "searchAudit": Line("/v1/audit/search", SEARCH, {"admin"}, 200),
    "readStatus": Line("/v1/status", None, {"ops"}, 200, 200),
}

#: Routes that need no key, and what they answer whatever key is shown.
OPEN: dict[str, tuple[str, int]] = {
    "/": ("GET", 302),
    "/healthz": ("GET", 200),
    "/readyz": ("GET", 200),
    "/metrics": ("GET", 200),
    "/openapi.json": ("GET", 200),
    "/docs": ("GET", 200),
    "/docs/docs.css": ("GET", 200),
    "/problems/{slug:id}": ("GET", 404),
    "/.well-known/smart-configuration": ("GET", 200),
    "/oauth/token": ("POST", 400),
}

#: Keys that open nothing, beside no key at all: cut off, of no form, and of nobody.
NO_KEYS = ("", "x", "nck_" + "a" * 16, "nck_" + "a" * 16 + "_" + "a" * 52)


def closed_keys(api: Api, role: str) -> list[str]:
    """An expired and a revoked key of the role, for the payer."""
    installation = api.installation
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = installation.key(role, PAYER, name=f"expired-{role}", expires_at=past)
    revoked = installation.key(role, PAYER, name=f"revoked-{role}")
    installation.write("update client set revoked_at = now() where name = %s", f"revoked-{role}")
    return [expired, revoked]


def test_no_route_is_missing_here(walled: Walled) -> None:
    """The tables cover exactly the routes there are, with the roles they declare."""
    service = walled.api.service
    assert {e.name: set(e.roles) for e in service.endpoints} == {n: line.roles for n, line in CALLS.items()}
    declared = {(flask_rule(e.path), e.method) for e in service.endpoints}
    routed = {
        (rule.rule, method)
        for rule in service.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert routed == declared | {(flask_rule(path), method) for path, (method, _) in OPEN.items()}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_role_and_key_gets_what_the_table_says(walled: Walled, name: str) -> None:
    """401 for what is no valid key, 403 for another role, then what is there for one's own payer alone.

    A key and an access token of a client open the same doors.
    """
    line = CALLS[name]
    method = next(e.method for e in walled.api.service.endpoints if e.name == name)
    found: dict[tuple[str, str], int] = {}
    expected: dict[tuple[str, str], int] = {}
    for role in ROLES:
        may = role in line.roles
        keys = [("own", walled.insider(role), line.own if may else 403)]
        keys += [("other", walled.outsider(role), line.other if may else 403)]
        keys += [("own token", walled.token(role, PAYER), line.own if may else 403)]
        keys += [("other token", walled.token(role, OTHER), line.other if may else 403)]
        keys += [(f"no key {n}", key, 401) for n, key in enumerate(NO_KEYS)]
        keys += [(f"closed key {n}", key, 401) for n, key in enumerate(closed_keys(walled.api, role))]
        for kind, key, status in keys:
            expected[role, kind] = status
            found[role, kind] = walled.send(method, line.path, line.body, key).status_code
    assert found == expected


@pytest.mark.parametrize("path", sorted(OPEN))
def test_open_routes_answer_alike_whatever_key_is_shown(walled: Walled, path: str) -> None:
    """A key opens nothing more there, and a wrong one closes nothing."""
    address = path.replace("{slug:id}", "none")
    for key in ("", NO_KEYS[-1], walled.insider("admin"), *closed_keys(walled.api, "ehr")):
        assert walled.api.call(OPEN[path][0], address, key=key).status_code == OPEN[path][1]


def test_key_that_is_revoked_closes_at_once(steady_api: Api) -> None:
    """The next call with it is refused, without waiting for anything."""
    installation = steady_api.installation
    key = installation.key("ops", name="to-be-revoked")
    assert steady_api.get("/v1/status", key=key).status_code == 200
    installation.write("update client set revoked_at = now() where name = 'to-be-revoked'")
    assert steady_api.get("/v1/status", key=key).status_code == 401


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
