"""Holding one payer's key and knowing another's ids: nothing is read, changed, or told from not existing."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest

from shared.domain.client import ROLES
from tests.api_service import Json, check, event
from tests.builders import PAYER
from tests.integration.coverage_api.test_walls import CALLS, COUNTS, SEARCH
from tests.integration.coverage_api.walled import DOCUMENT, GRANT, HELD, OTHER, PLAN, Walled, document

MISSING = "no-such-payer"

#: Calls about the other payer's things, each beside the same about what does not exist:
#: method, role, (path, body) and (path, body).
PAIRS: dict[str, tuple[str, str, tuple[str, Any], tuple[str, Any]]] = {
    "check": (
        "GET",
        "portal",
        ("/v1/eligibility-checks/{check_id}", None),
        ("/v1/eligibility-checks/chk_01J00000000000000000000000", None),
    ),
    "hold": ("GET", "ehr", ("/v1/holds/{hold_id}", None), ("/v1/holds/hld_01J00000000000000000000000", None)),
    "hold to release": (
        "POST",
        "ehr",
        ("/v1/holds/{hold_id}/release", None),
        ("/v1/holds/hld_01J00000000000000000000000/release", None),
    ),
    "override": (
        "POST",
        "admin",
        ("/v1/overrides/{override_id}/revoke", None),
        ("/v1/overrides/ovr_01J00000000000000000000000/revoke", None),
    ),
    "event": ("GET", "ehr", ("/v1/visit-events/e1", None), ("/v1/visit-events/e9", None)),
    "client": (
        "GET",
        "ops",
        ("/v1/visit-events/e1?client={client}", None),
        ("/v1/visit-events/e1?client=ehr-of-nobody", None),
    ),
    "another client": (
        "GET",
        "ehr",
        ("/v1/visit-events/e1?client={client}", None),
        ("/v1/visit-events/e1?client=ehr-of-nobody", None),
    ),
    "plan": (
        "PUT",
        "admin",
        (f"/v1/payers/{PAYER}/plans/employer", PLAN),
        (f"/v1/payers/{MISSING}/plans/employer", PLAN),
    ),
    "payer": (
        "PUT",
        "admin",
        (f"/v1/payers/{PAYER}", {"name": "x"}),
        (f"/v1/payers/{MISSING}", {"name": "x"}),
    ),
    "document": (
        "PUT",
        "admin",
        (f"/v1/rule-documents/{DOCUMENT}/versions/1", document()),
        (f"/v1/rule-documents/{DOCUMENT}/versions/1", document(MISSING)),
    ),
    "document's name": (
        "PUT",
        "admin",
        (f"/v1/rule-documents/{DOCUMENT}/versions/2", document(OTHER)),
        (f"/v1/rule-documents/{PAYER}-nothing/versions/2", document(OTHER)),
    ),
    **{
        f"member for {role} at {path}": (method, role, (path, body), (path, {**body, "payer_id": MISSING}))
        for method, role, path, body in (
            ("POST", "ehr", "/v1/eligibility-checks", check()),
            ("POST", "ehr", "/v1/visit-events", event(1)),
            ("POST", "ehr", "/v1/accumulators/search", COUNTS),
            ("POST", "portal", "/v1/visits/search", SEARCH),
            ("POST", "ehr", "/v1/holds", HELD),
            ("POST", "admin", "/v1/overrides", GRANT),
            ("POST", "admin", "/v1/audit/search", SEARCH),
        )
    },
    # In these the payer is one's own: what differs is whether the other payer knows the id too.
    **{
        f"{role}'s own member of that id at {path}": (
            "POST",
            role,
            (path, {**body, "payer_id": OTHER}),
            (path, {**body, "payer_id": OTHER, "member_id": "SAMPLE-NOBODY"}),
        )
        for role, path, body in (
            ("ehr", "/v1/eligibility-checks", check()),
            ("ehr", "/v1/accumulators/search", COUNTS),
            ("portal", "/v1/visits/search", SEARCH),
            ("admin", "/v1/audit/search", {**SEARCH, "end": "2020-01-01T00:00:00Z"}),
        )
    },
}


def seen(answer: Any) -> tuple[int, Json, dict[str, str]]:
    """What a caller learns from an answer, without what is new in each: its ids and its moment."""
    new = {"request_id", "check_id", "decided_at"}
    body = {name: value for name, value in answer.get_json(force=True).items() if name not in new}
    return (
        answer.status_code,
        body,
        {name: v for name, v in answer.headers if name not in {"X-Request-ID", "RateLimit"}},
    )


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_what_is_hidden_looks_like_what_is_missing(walled: Walled, name: str) -> None:
    """By status, body, error text and headers."""
    method, role, hidden, missing = PAIRS[name]
    key = walled.outsider(role)
    one, other = walled.send(method, *hidden, key), walled.send(method, *missing, key)
    assert seen(one) == seen(other)


def test_items_of_batches_and_streams_tell_no_more(walled: Walled) -> None:
    """An item for the other payer is refused like one for a payer that is not there, wherever it stands."""
    key = walled.outsider("ehr")
    for path, name, item in (
        ("/v1/eligibility-checks/batch", "checks", check()),
        ("/v1/visit-events/batch", "events", event(1)),
    ):
        body = {name: [item, {**item, "payer_id": MISSING}]}
        hidden, missing = walled.send("POST", path, body, key).get_json()["results"]
        assert hidden == missing
        assert hidden["status"] == 404


def test_own_names_never_collide_with_the_other_payers(walled: Walled) -> None:
    """An event id, visit id and idempotency key that the other's client used are free for one's own."""
    key = walled.outsider("ehr")
    sent = walled.send("POST", "/v1/visit-events", event(1, payer_id=OTHER, state="MN"), key)
    assert (sent.status_code, sent.headers.get("Idempotent-Replay")) == (202, None)
    held = walled.send("POST", "/v1/holds", {**HELD, "payer_id": OTHER}, key)
    assert held.get_json(force=True)["type"] == "/problems/coverage_unknown"


def test_lists_show_nothing_of_the_other_payer(walled: Walled) -> None:
    """Neither its rule documents nor its counts of events."""
    listed = walled.send("GET", "/v1/rule-documents", None, walled.outsider("admin")).get_json()
    assert {row["payer_id"] for row in listed["rule_documents"]} <= {OTHER, None}
    status = walled.send("GET", "/v1/status", None, walled.outsider("ops"))
    assert PAYER not in status.text


def test_nothing_of_the_other_payer_changes(walled: Walled) -> None:
    """Whatever call is made with whatever role's key, every row of the payer is as it was."""
    before = rows_of_payer(walled)
    assert all(before[table] for table in ("visit", "hold", "override_grant", "determination"))
    for name, line in CALLS.items():
        method = next(e.method for e in walled.api.service.endpoints if e.name == name)
        for role in ROLES:
            walled.send(method, line.path, line.body, walled.outsider(role))
    body = b'{"event_id": "x"}\n'
    walled.send("POST", "/v1/visit-events/bulk", body, walled.outsider("ehr"))
    walled.api.installation.drain()
    assert rows_of_payer(walled) == before


def rows_of_payer(walled: Walled) -> dict[str, list[Any]]:
    """Every row of the payer in every table that knows payers, and the running catalog."""
    rows = walled.api.installation.rows
    tables = rows(
        "select table_name from information_schema.columns"
        " where column_name = 'payer_id' and table_schema = 'public'"
    )
    found = {
        table: rows(f"select t::text from {table} t where payer_id = %s order by 1", PAYER)
        for (table,) in tables
    }
    return {**found, "catalog": rows("select version from catalog")}


def test_what_is_hidden_takes_as_long_as_what_is_missing(walled: Walled) -> None:
    """Roughly: the medians of many calls, made in turns, are of one size."""
    for name in ("check", "hold", "event", "member for ehr at /v1/eligibility-checks"):
        method, role, *asked = PAIRS[name]
        key = walled.outsider(role)
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(25):
            for (path, body), taken in zip(asked, seconds, strict=True):
                started = time.perf_counter()
                walled.send(method, path, body, key)
                taken.append(time.perf_counter() - started)
        hidden, missing = (statistics.median(taken) for taken in seconds)
        assert 1 / 3 < hidden / missing < 3, name
