"""The main job, over HTTP on everything real: asked, reported, counted, refused, and a new year."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from itertools import count
from typing import Any

import psutil
import pytest
import redis

from tests.running import Running
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

PAYER = "security-health-plan"
_numbers = count(1)


class Service:
    """A running service and what its clients can say to it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.keys = json.loads((running.data_dir / "dev-credentials.json").read_text())
        self.url = f"http://127.0.0.1:{running.port}"

    def call(
        self, role: str, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], Message]:
        """Status, body and headers of one call; `body` is JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {self.keys.get(role, role)}")
        request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read()), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read()), error.headers

    def member(self, plan_year_start: str = "01-01") -> str:
        """A new member of an employer plan."""
        plan = f"employer-{plan_year_start}"
        member = f"SAMPLE-E2E-{next(_numbers)}"
        status, _, _ = self.call(
            "admin",
            "PUT",
            f"/v1/payers/{PAYER}/plans/{plan}",
            {"name": plan, "funding": "fully_insured", "market": "group", "plan_year_start": plan_year_start},
        )
        assert status in {200, 201}
        span = {"plan_id": plan, "start": "2021-01-01", "end": None}
        status, _, _ = self.call(
            "admin", "PUT", "/v1/enrollments", {"payer_id": PAYER, "member_id": member, "spans": [span]}
        )
        assert status == 200
        return member

    def used(self, member: str, on: str) -> int:
        """What an eligibility check says is used in the year of a date."""
        status, answer, _ = self.call("ehr", "POST", "/v1/eligibility-checks", check(member, on))
        assert status == 201, answer
        return int(answer["accumulators"][0]["used"])

    def settled(self, member: str, on: str = "2026-03-04") -> bool:
        """Whether no event of the member is pending."""
        body = {"payer_id": PAYER, "member_id": member, "service_date": on}
        _, answer, _ = self.call("ehr", "POST", "/v1/accumulators/search", body)
        return all(accumulator["pending_events"] == 0 for accumulator in answer["accumulators"])

    def child(self, word: str) -> psutil.Process:
        """The child process whose command line has a word."""
        children = psutil.Process(self.running.process.pid).children(recursive=True)
        return next(child for child in children if word in " ".join(child.cmdline()) + " ")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the module."""
    running = Running(tmp_path_factory.mktemp("main-job") / "data").wait_ready()
    yield Service(running)
    running.stop()


def check(member: str, on: str) -> dict[str, Any]:
    """A check for one dry needling line."""
    return {
        "payer_id": PAYER,
        "member_id": member,
        "service_date": on,
        "lines": [{"procedure_code": "20560"}],
        "provider": {"type": "physical_therapist"},
        "state": "WI",
    }


def event(member: str, on: str = "2026-03-04", **changes: Any) -> dict[str, Any]:
    """A recorded visit under fresh ids."""
    number = next(_numbers)
    return {
        **check(member, on),
        "event_id": f"event-{number}",
        "type": "visit.recorded",
        "visit_id": f"visit-{number}",
        **changes,
    }


def test_twenty_first_visit_in_one_batch_is_over_the_limit(service: Service) -> None:
    """Twenty-one visits in one batch: twenty counted; the next check is refused with CARC 119."""
    member = service.member()
    status, answer, _ = service.call(
        "ehr", "POST", "/v1/visit-events/batch", {"events": [event(member) for _ in range(21)]}
    )
    assert (status, {result["status"] for result in answer["results"]}) == (200, {202})
    wait_for(lambda: service.settled(member))
    _, determination, _ = service.call("ehr", "POST", "/v1/eligibility-checks", check(member, "2026-05-01"))
    assert determination["decision"] == "not_covered"
    assert (determination["reasons"][0]["code"], determination["reasons"][0]["carc"]) == (
        "limit_exhausted",
        "119",
    )
    assert (determination["accumulators"][0]["used"], determination["accumulators"][0]["remaining"]) == (
        20,
        0,
    )
    assert service.used(member, "2027-01-01") == 0


def test_sixty_four_threads_never_overrun_the_limit(service: Service) -> None:
    """Sixty-four visits sent at once: twenty are counted and stay so, the others are over the limit."""
    member = service.member()
    gate = threading.Barrier(64)

    def send() -> str:
        visit = event(member)
        gate.wait(30)
        status, receipt, _ = service.call(
            "ehr", "POST", "/v1/visit-events", visit, headers={"Prefer": "wait=10"}
        )
        assert status in {200, 202}, receipt
        return str(visit["event_id"])

    with ThreadPoolExecutor(64) as pool:
        sent = list(pool.map(lambda _: send(), range(64)))
    wait_for(lambda: service.settled(member))
    outcomes = [service.call("ehr", "GET", f"/v1/visit-events/{name}")[1]["outcome"] for name in sent]
    asked = {"payer_id": PAYER, "member_id": member}
    _, found, _ = service.call("portal", "POST", "/v1/visits/search", asked)
    for told in (outcomes, found["visits"]):
        dispositions = [one["disposition"] for one in told]
        assert (dispositions.count("counted"), dispositions.count("over_limit")) == (20, 44)
    assert service.used(member, "2026-05-01") == 20


@pytest.mark.parametrize(
    ("plan_year_start", "last", "first"),
    [("01-01", "2026-12-31", "2027-01-01"), ("07-01", "2026-06-30", "2026-07-01")],
)
def test_plan_year_splits_where_the_plan_says(
    service: Service, plan_year_start: str, last: str, first: str
) -> None:
    """A visit on each side of the plan year's turn: one used in each year."""
    member = service.member(plan_year_start)
    for on in (last, first):
        status, _, _ = service.call(
            "ehr", "POST", "/v1/visit-events", event(member, on), headers={"Prefer": "wait=10"}
        )
        assert status == 200
    assert (service.used(member, last), service.used(member, first)) == (1, 1)


def test_flushed_redis_changes_no_answer(service: Service) -> None:
    """With every Redis key gone, the next answer is the same."""
    member = service.member()
    service.call("ehr", "POST", "/v1/visit-events", event(member), headers={"Prefer": "wait=10"})
    before = service.used(member, "2026-05-01")
    with redis.Redis.from_url(service.running.redis_url) as client:
        client.flushall()
    assert service.used(member, "2026-05-01") == before == 1


def test_same_event_twice_is_one_count_and_another_payload_is_a_conflict(service: Service) -> None:
    """A repeat answers the receipt as it stands; the same id with other content is refused."""
    member = service.member()
    visit = event(member)
    first = service.call("ehr", "POST", "/v1/visit-events", visit, headers={"Prefer": "wait=10"})
    again = service.call("ehr", "POST", "/v1/visit-events", {**visit, "self_pay": False})
    other = service.call("ehr", "POST", "/v1/visit-events", {**visit, "service_date": "2026-03-05"})
    assert again[1] == first[1]
    assert again[2]["Idempotent-Replay"] == "true"
    assert (other[0], other[1]["status"]) == (409, 409)
    assert service.used(member, "2026-05-01") == 1


def test_killed_worker_applies_pending_events_once_when_it_is_back(service: Service) -> None:
    """Events accepted while the worker is dead are applied once, without anybody doing anything."""
    member = service.member()
    os.kill(service.child(" worker ").pid, signal.SIGKILL)
    visits = [event(member) for _ in range(5)]
    status, _, _ = service.call("ehr", "POST", "/v1/visit-events/batch", {"events": visits})
    assert status == 200
    wait_for(lambda: service.settled(member), 60)
    assert service.used(member, "2026-05-01") == 5


def test_dead_redis_leaves_answers_right(service: Service) -> None:
    """While Redis is down the answers come from Postgres."""
    member = service.member()
    service.call("ehr", "POST", "/v1/visit-events", event(member), headers={"Prefer": "wait=10"})
    valkey = service.child("valkey-server")
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        assert service.used(member, "2026-05-01") == 1
    finally:
        os.kill(valkey.pid, signal.SIGKILL)
    wait_for(service.running.answers, 60)


def test_dead_postgres_is_indeterminate_and_loses_nothing(service: Service) -> None:
    """While Postgres is stuck every call is 503 indeterminate; afterwards everything accepted is there."""
    member = service.member()
    service.call("ehr", "POST", "/v1/visit-events", event(member), headers={"Prefer": "wait=10"})
    postgres = service.child("/bin/postgres ")
    family = [postgres, *postgres.children(recursive=True)]
    for process in family:
        process.suspend()
    try:
        status, problem, headers = service.call(
            "ehr", "POST", "/v1/eligibility-checks", check(member, "2026-05-01")
        )
    finally:
        for process in family:
            process.resume()
    assert (status, problem["type"]) == (503, "/problems/indeterminate")
    assert "Retry-After" in headers
    wait_for(
        lambda: service.call("ehr", "POST", "/v1/eligibility-checks", check(member, "2026-05-01"))[0] == 201
    )
    assert service.used(member, "2026-05-01") == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[1]", 422),
        (b'{"payer_id": 3}', 422),
        (b'{"payer_id": "no-such-payer"}', 404),
        (b'{"payer_id": "security-health-plan", "surprise": 1}', 422),
        (b'{"payer_id": "security-health-plan", "member_id": "' + b"x" * 10_000_000 + b'"}', 413),
    ],
)
def test_bad_bodies_are_problems_and_change_nothing(service: Service, body: bytes, status: int) -> None:
    """Each fault is answered with a problem document of its status."""
    got, problem, headers = service.call("ehr", "POST", "/v1/visit-events", body)
    assert (got, problem["status"]) == (status, status)
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["type"].startswith("/problems/")
    assert "Traceback" not in json.dumps(problem)


def test_wrong_types_are_named_by_pointer(service: Service) -> None:
    """A quantity as text, a date-time and an unknown field are each pointed at."""
    body = event("SAMPLE-E2E-0", on="2026-12-31T23:30:00-08:00", surprise=1)
    body["lines"] = [{"procedure_code": "20560", "quantity": "3"}]
    status, problem, _ = service.call("ehr", "POST", "/v1/visit-events", body)
    assert status == 422
    assert {error["pointer"] for error in problem["errors"]} >= {
        "/service_date",
        "/surprise",
        "/lines/0/quantity",
    }


def test_bad_key_is_unauthorized(service: Service) -> None:
    """An unknown key is told nothing but that."""
    status, problem, _ = service.call("nck_nobody_nothing", "POST", "/v1/visit-events", {})
    assert (status, problem["type"]) == (401, "/problems/unauthenticated")


def test_key_made_by_the_operator_opens_the_running_service_until_it_is_revoked(service: Service) -> None:
    """A key of `clients create` works at once, a slip of it does not; revoked, it is over."""
    running = service.running
    assert running.status_of(service.keys["ehr"]) == 404
    made = running.needlecap("clients", "create", "--name", "clinic", "--role", "ehr", "--payer", "*").strip()
    assert running.status_of(made) == 404
    assert running.status_of(made[:-1] + ("a" if made[-1] != "a" else "b")) == 401
    running.needlecap("clients", "revoke", "--name", "clinic")
    wait_for(lambda: running.status_of(made) == 401)
