"""Servers that are away: Postgres means 503 in time, Redis means nothing at all to the caller (I5, I13)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import redis

from services.coverage_api.bootstrap import build
from shared.domain.errors import StoreUnavailable
from tests.api_service import Api, Installation, check, enrollments, event, settings_for
from tests.builders import MEMBER, PAYER
from tests.integration.coverage_api.test_walls import CALLS
from tests.integration.coverage_api.walled import Walled
from tests.servers import Postgres, Server
from tests.waiting import wait_for

ANSWER_SECONDS_MAX = 5.0


@pytest.fixture
def fragile_api(own_postgres: Postgres, own_valkey: Server) -> Iterator[Api]:
    """A service on servers that may be stopped, with the sample member enrolled."""
    installation = Installation(own_postgres.server.url)
    installation.load_catalog()
    service = build(settings_for(own_postgres.server.url, own_valkey.url))
    api = Api(service, installation)
    plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
    api.put(f"/v1/payers/{PAYER}/plans/employer", plan)
    api.put("/v1/enrollments", enrollments())
    yield api
    service.close()
    installation.close()


def assert_indeterminate(answer: Any) -> None:
    """The answer of a service that cannot know."""
    assert answer.status_code == 503
    assert answer.get_json(force=True)["type"] == "/problems/indeterminate"
    assert int(answer.headers["Retry-After"]) > 0


def test_without_postgres_every_call_is_indeterminate_and_nothing_is_lost(
    fragile_api: Api, own_postgres: Postgres
) -> None:
    """Each call is a 503 within five seconds; afterwards what was accepted before is there."""
    api = fragile_api
    keys = {role: api.installation.key(role) for line in CALLS.values() for role in sorted(line.roles)}
    assert api.post("/v1/visit-events", event(1)).status_code == 202
    names = ("check_id", "hold_id", "released_id", "override_id", "client")
    walled = Walled(api=api, ids=dict.fromkeys(names, "x"))
    own_postgres.server.stop()

    def call(name: str) -> tuple[Any, float]:
        line, started = CALLS[name], time.monotonic()
        method = next(e.method for e in api.service.endpoints if e.name == name)
        answer = walled.send(method, line.path, line.body, keys[min(line.roles)])
        return answer, time.monotonic() - started

    with ThreadPoolExecutor(len(CALLS)) as pool:
        for answer, seconds in pool.map(call, CALLS):
            assert_indeterminate(answer)
            assert seconds < ANSWER_SECONDS_MAX
    assert api.get("/readyz", key="").status_code == 503
    assert api.get("/healthz", key="").status_code == 200
    own_postgres.server.start()
    wait_for(lambda: api.get("/v1/visit-events/e1").status_code == 200)
    drained: list[int] = []
    wait_for(lambda: try_to_drain(api, drained))
    assert drained == [1]


def try_to_drain(api: Api, drained: list[int]) -> bool:
    """Drain, unless the pool still finds out that its connections are gone."""
    try:
        drained.append(api.installation.drain())
    except StoreUnavailable:
        return False
    return True


def test_postgres_that_hangs_is_given_up_in_time(fragile_api: Api, own_postgres: Postgres) -> None:
    """A server that neither answers nor hangs up costs no more than five seconds."""
    api = fragile_api
    assert api.post("/v1/eligibility-checks", check()).status_code == 201
    stopped = [own_postgres.server.pid, *children_of(own_postgres.server.pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for body in (check(), check()):
            started = time.monotonic()
            assert_indeterminate(api.post("/v1/eligibility-checks", body))
            assert time.monotonic() - started < ANSWER_SECONDS_MAX
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: api.post("/v1/eligibility-checks", check()).status_code == 201)


def test_without_redis_answers_are_right_and_prompt(fragile_api: Api, own_valkey: Server) -> None:
    """Checks, events and holds go on from Postgres; only wake-ups and counters are missed."""
    api = fragile_api
    own_valkey.stop()
    started = time.monotonic()
    assert api.post("/v1/visit-events", event(1)).status_code == 202
    assert time.monotonic() - started < 1.5
    api.installation.drain()
    (shown,) = api.post("/v1/eligibility-checks", check()).get_json()["accumulators"]
    assert shown["used"] == 1
    held = api.post("/v1/holds", check(service_date="2098-01-01"), headers={"Idempotency-Key": "k"})
    assert held.status_code == 201
    ready = api.get("/readyz", key="")
    assert (ready.status_code, ready.get_json()["status"]) == (200, "degraded")
    assert ready.get_json()["parts"]["redis"] == "down"
    own_valkey.start()
    wait_for(lambda: api.get("/readyz", key="").get_json()["parts"]["redis"] == "up")


def test_deleting_every_redis_key_changes_no_answer(api: Api, redis_url: str) -> None:
    """FLUSHALL between two checks: the same answer (I5)."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    wanted = {"payer_id": PAYER, "member_id": MEMBER, "service_date": "2026-03-04"}
    before = api.post("/v1/accumulators/search", wanted).get_json()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    assert api.post("/v1/accumulators/search", wanted).get_json() == before


def test_worker_that_is_behind_is_shown(api: Api) -> None:
    """An event that has waited too long makes the service degraded, not unready."""
    api.post("/v1/visit-events", event(1))
    api.installation.write("update visit_event_waiting set received_at = now() - interval '1 hour'")
    ready = api.get("/readyz", key="")
    assert (ready.status_code, ready.get_json()["parts"]["worker"]) == (200, "behind")
    assert api.get("/v1/status", role="ops").get_json()["visit_events"]["oldest_pending_seconds"] >= 3600


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
