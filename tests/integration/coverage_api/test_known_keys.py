"""A call that begins on what is known of its key is answered by what the key is now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api_service import Api, Json, check, event
from tests.builders import PAYER
from tests.waiting import wait_for

#: The calls that confirm a key in their own transaction, each with a body.
CALLS: dict[str, Callable[..., Json]] = {
    "/v1/eligibility-checks": check,
    "/v1/visit-events": lambda **changes: event(1, **changes),
}
STORED = "select (select count(*) from determination), (select count(*) from visit_event)"


def known(api: Api, path: str, name: str) -> str:
    """A key with which a call has just been answered."""
    key = api.installation.key("ehr", name=name)
    assert api.post(path, CALLS[path](), key=key).status_code in {201, 202}
    return key


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"service_date": "today"}, {"payer_id": "nobody"}, {"lines": None}],
    ids=["right", "wrong", "no payer of theirs", "wrong type"],
)
def test_revoked_key_is_refused_first(api: Api, path: str, changes: Json) -> None:
    """Whatever else is wrong with the call, and nothing of it is stored or audited."""
    key = known(api, path, "revoked")
    stored = api.installation.rows(STORED)
    audited = api.installation.rows("select count(*) from audit_entry")
    api.installation.write("update credential set revoked_at = now() where prefix = %s", key.split("_")[1])
    refused = api.post(path, CALLS[path](**changes), key=key)
    assert refused.status_code == 401
    assert "RateLimit" not in refused.headers
    assert api.installation.rows(STORED) == stored
    assert api.installation.rows("select count(*) from audit_entry") == audited


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("payers = '{other}'", 404),
        ("role = 'ops'", 403),
        ("requests_per_second = 7", None),
    ],
    ids=["payers", "role", "rate"],
)
def test_client_that_was_changed_is_served_as_it_is_now(
    api: Api, path: str, change: str, status: int | None
) -> None:
    """A grant that was taken away is gone with the next call, one that was made is there."""
    key = known(api, path, "changed")
    api.installation.write(f"update client set {change} where name = 'changed'")
    answer = api.post(path, CALLS[path](), key=key)
    assert answer.status_code == status or (status is None and answer.status_code in {201, 202})
    if change.startswith("requests"):
        assert answer.headers["RateLimit-Policy"] == '"default";q=7;w=1'


@pytest.mark.parametrize("path", CALLS)
def test_another_key_of_a_known_prefix_opens_nothing(api: Api, path: str) -> None:
    """The prefix is no secret; the rest of the key is compared each time."""
    key = known(api, path, "guessed")
    forged = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert api.post(path, CALLS[path](), key=forged).status_code == 401


def test_use_of_a_known_key_is_noted(api: Api) -> None:
    """Also when it is only looked up with what is stored."""
    key = known(api, "/v1/eligibility-checks", "used")
    of_key = (key.split("_")[1],)
    used: Any = "select last_used_at is not null from credential where prefix = %s"
    wait_for(lambda: api.installation.rows(used, *of_key) == [(True,)])
    api.installation.write("update credential set last_used_at = '2020-01-01' where prefix = %s", *of_key)
    assert api.post("/v1/eligibility-checks", check(), key=key).status_code == 201
    late = "select last_used_at > '2021-01-01' from credential where prefix = %s"
    wait_for(lambda: api.installation.rows(late, *of_key) == [(True,)])


def test_known_key_reads_what_it_stored(api: Api) -> None:
    """The other calls of the same key go on looking it up by themselves."""
    key = known(api, "/v1/visit-events", "reader")
    receipt = api.get("/v1/visit-events/e1", key=key)
    assert receipt.status_code == 200
    api.installation.write("update client set revoked_at = now() where name = 'reader'")
    assert api.get("/v1/visit-events/e1", key=key).status_code == 401
    assert api.installation.rows("select payer_id from visit_event") == [(PAYER,)]
