"""Accumulators as they stood at a moment, through the API (I14)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.api_service import Api, event
from tests.builders import MEMBER, PAYER

OTHER_PAYER = "medicare"

#: (used, remaining, pending events) of the one limit.
Shown = tuple[int, int, int]


def moment(api: Api) -> str:
    """The moment by the database's clock, which is also this process's."""
    ((now,),) = api.installation.rows("select clock_timestamp()")
    assert isinstance(now, datetime)
    return now.astimezone(UTC).isoformat().replace("+00:00", "Z")


def search(api: Api, known_at: Any, **changes: Any) -> Any:
    """Ask for the sample member's limits as known at a moment."""
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04", "known_at": known_at}
    return api.post("/v1/accumulators/search", {**wanted, **changes})


def shown(api: Api, known_at: Any) -> Shown:
    """What such a search shows."""
    (limit,) = search(api, known_at).get_json()["accumulators"]
    return limit["used"], limit["remaining"], limit["pending_events"]


def test_each_moment_shows_what_was_known_then(api: Api) -> None:
    """Before two visits, while they wait, once they count, and after one of them was voided."""
    moments = [moment(api)]
    for number in (1, 2):
        api.post("/v1/visit-events", event(number))
    moments.append(moment(api))
    api.installation.drain()
    moments.append(moment(api))
    void = {"event_id": "void", "type": "visit.voided", "visit_id": "v1", "payer_id": PAYER}
    assert api.post("/v1/visit-events", void).status_code == 202
    api.installation.drain()
    moments.append(moment(api))
    assert [shown(api, at) for at in moments] == [(0, 20, 0), (0, 20, 2), (2, 18, 0), (1, 19, 0)]


@pytest.mark.parametrize("known_at", [None, "2199-12-31T23:59:59Z"])
def test_moment_not_said_or_still_to_come_is_now(api: Api, known_at: str | None) -> None:
    """The answer is that of a plain search, down to the version."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04"}
    plain = api.post("/v1/accumulators/search", wanted).get_json()
    assert plain["accumulators"][0]["used"] == 1
    assert search(api, known_at).get_json() == plain


def test_just_passed_moment_agrees_with_a_plain_search(api: Api) -> None:
    """The ledger read back and the accumulators say the same."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04"}
    assert search(api, moment(api)).get_json() == api.post("/v1/accumulators/search", wanted).get_json()


def test_any_offset_names_the_same_moment(api: Api) -> None:
    """A moment written in another zone's time is the same moment."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    after = moment(api)
    local = datetime.fromisoformat(after).astimezone(timezone(timedelta(hours=-5))).isoformat()
    assert search(api, local).get_json() == search(api, after).get_json()
    assert shown(api, "2001-01-01T02:00:00+02:00") == (0, 20, 0)


@pytest.mark.parametrize(
    "known_at",
    ["2026-03-04", "2026-03-04T10:00:00", "yesterday", "", 1_772_618_645, True, ["2026-03-04T10:00:00Z"]],
)
def test_what_is_no_instant_is_refused(api: Api, known_at: object) -> None:
    """A date, a date-time without its offset, or anything else is 422, naming the field."""
    refused = search(api, known_at)
    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["pointer"].startswith("/known_at")


def test_past_of_another_payer_is_behind_its_wall(api: Api) -> None:
    """404 for a payer that was not granted; the same member id at a granted one has no past there."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    at = moment(api)
    key = api.installation.key("ehr", OTHER_PAYER)
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04", "known_at": at}
    assert api.post("/v1/accumulators/search", wanted, key=key).status_code == 404
    elsewhere = api.post("/v1/accumulators/search", {**wanted, "payer_id": OTHER_PAYER}, key=key)
    assert elsewhere.status_code == 200
    assert elsewhere.get_json()["accumulators"] == []
    assert elsewhere.get_json()["reasons"][0]["code"] == "not_enrolled"


def test_past_of_a_stranger_says_why_there_is_nothing(api: Api) -> None:
    """No accumulators are not a count of zero, at no moment (I11)."""
    found = search(api, moment(api), member_id="nobody we know").get_json()
    assert found["accumulators"] == []
    assert found["reasons"][0]["code"] == "not_enrolled"
