"""No more events are taken in while those accepted wait too long to be applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.coverage_api.backlog import LOOK_SECONDS
from services.coverage_api.bootstrap import build
from tests.api_service import Api, Installation, check, event, settings_for
from tests.waiting import wait_for

PATHS = ("/v1/visit-events", "/v1/visit-events/batch", "/v1/visit-events/bulk")


@pytest.fixture
def behind(installation: Installation, redis_url: str) -> Iterator[Api]:
    """A service that took in one event an hour ago, which nobody has applied."""
    before = build(settings_for(installation.database_url, redis_url))
    assert Api(before, installation).post("/v1/visit-events", event(1)).status_code == 202
    before.close()
    installation.write("update visit_event_waiting set received_at = now() - interval '1 hour'")
    service = build(settings_for(installation.database_url, redis_url))
    yield Api(service, installation)
    service.close()


def send(api: Api, path: str, number: int) -> Any:
    """Send one event by each of the ways there are."""
    if path.endswith("/bulk"):
        line = json.dumps(event(number)).encode()
        return api.post(path, data=line, content_type="application/x-ndjson")
    return api.post(path, {"events": [event(number)]} if path.endswith("/batch") else event(number))


def test_nothing_more_is_taken_in_while_too_much_waits(behind: Api) -> None:
    """429 with Retry-After, for repeats too; nothing is stored, and every other call is answered."""
    for path in PATHS:
        for number in (1, 2):
            refused = send(behind, path, number)
            assert refused.status_code == 429
            assert refused.get_json(force=True)["type"] == "/problems/backlog"
            assert int(refused.headers["Retry-After"]) > 0
    assert behind.installation.rows("select count(*) from visit_event") == [(1,)]
    assert behind.post("/v1/eligibility-checks", check()).status_code == 201
    assert behind.get("/v1/visit-events/e1").status_code == 200
    assert behind.get("/v1/status", role="ops").status_code == 200


def test_events_come_in_again_once_the_backlog_is_applied(behind: Api) -> None:
    """Within a second of the worker having caught up."""
    assert [send(behind, path, 2).status_code for path in PATHS] == [429, 429, 429]
    behind.installation.drain()
    wait_for(lambda: send(behind, PATHS[0], 2).status_code == 202, limit_seconds=10 * LOOK_SECONDS)
    assert [send(behind, path, 3).status_code for path in PATHS[1:]] == [200, 200]


def test_event_that_waits_for_its_next_attempt_is_no_backlog(behind: Api) -> None:
    """One event that keeps failing must not shut the others out."""
    behind.installation.write(
        "update visit_event_waiting set retry_at = now() + interval '1 hour', attempts = 1"
    )
    assert send(behind, PATHS[0], 2).status_code == 202


def test_bad_body_is_refused_as_such(behind: Api) -> None:
    """What would not be accepted anyway is told so first."""
    assert behind.post(PATHS[0], {**event(2), "payer_id": "nobody"}).status_code == 404
    assert behind.post(PATHS[0], {**event(2), "lines": []}).status_code == 422


def test_bound_of_zero_takes_everything_in(behind: Api, redis_url: str) -> None:
    """Whoever would rather have events wait than be sent again can say so."""
    settings = settings_for(behind.installation.database_url, redis_url, backlog_seconds_max=0)
    service = build(settings)
    try:
        api = Api(service, behind.installation)
        assert [send(api, path, number).status_code for number, path in enumerate(PATHS, 2)] == [
            202,
            200,
            200,
        ]
    finally:
        service.close()
