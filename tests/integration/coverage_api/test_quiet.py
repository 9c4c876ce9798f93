"""What the served API writes down while it works tells nothing about people (I8)."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import urllib3
from click.testing import CliRunner

from services.operator_cli.main import main
from services.operator_cli.runner import ports
from tests.api_service import HASH_KEY, Installation, check, enrollments, event
from tests.builders import PAYER
from tests.servers import Postgres
from tests.waiting import wait_for
from tests.worker_process import worker

#: Whatever is about a person in the requests below, so that it can be looked for everywhere.
MEMBER = "ZZMEMBERZZ"
DIAGNOSIS = "Z99.89"
NPI = "1999999999"
DAY = "2031-07-19"
OTHER_ID = "ZZFORMERZZ"
MARKS = (MEMBER, OTHER_ID, DIAGNOSIS, NPI, DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The API as granian serves it."""

    installation: Installation
    log: Path
    url: str

    def call(self, role: str, method: str, path: str, body: Any = None) -> Any:
        """Make one call; the answer with its body read."""
        headers = {"Authorization": f"Bearer {self.installation.key(role)}", "Idempotency-Key": "k"}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        with urllib3.PoolManager(retries=False) as pool:
            return pool.request(
                method,
                self.url + path,
                body=content,
                headers={**headers, "Content-Type": "application/json"},
            )

    def answers(self) -> bool:
        """Whether the service is up."""
        with urllib3.PoolManager(retries=False) as pool:
            try:
                return bool(pool.request("GET", self.url + "/readyz").status == 200)
            except urllib3.exceptions.HTTPError:
                return False


@pytest.fixture
def served(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Served]:
    """The API in a process of its own, writing its log to a file."""
    installation = Installation(database_url)
    installation.load_catalog()
    port = ports.choose(None)
    log = tmp_path / "api.log"
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
        "NEEDLECAP_LOG_LEVEL": "debug",
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "services.coverage_api.wsgi:app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--http", "1", "--no-ws"]
    command += ["--workers", "1", "--blocking-threads", "4", "--log-level", "warning"]
    with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        served = Served(installation=installation, log=log, url=f"http://127.0.0.1:{port}")
        try:
            wait_for(served.answers)
            yield served
        finally:
            process.terminate()
            process.wait(20)
            installation.close()


def marked(body: dict[str, Any]) -> dict[str, Any]:
    """A request in which everything about a person is marked."""
    lines = [{"procedure_code": "20560", "diagnosis_codes": [DIAGNOSIS]}]
    provider = {"npi": NPI, "type": "physical_therapist"}
    return {**body, "member_id": MEMBER, "service_date": DAY, "lines": lines, "provider": provider}


def report_and_ask(served: Served) -> None:
    """Everything that a member's day may bring, done well."""
    plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
    ref = {"payer_id": PAYER, "member_id": MEMBER}
    grant = {**ref, "service_date": DAY, "limit_id": "dry-needling", "quantity": 1}
    asked = marked(check())
    for role, method, path, body in (
        ("admin", "PUT", f"/v1/payers/{PAYER}/plans/employer", plan),
        ("admin", "PUT", "/v1/enrollments", enrollments(member_id=MEMBER)),
        ("admin", "PUT", "/v1/enrollments", enrollments(member_id=OTHER_ID)),
        ("ehr", "POST", "/v1/eligibility-checks", asked),
        ("portal", "POST", "/v1/eligibility-checks/batch", {"checks": [asked, {**asked, "x": MEMBER}]}),
        ("ehr", "POST", "/v1/visit-events", marked(event(1))),
        ("ehr", "POST", "/v1/visit-events/batch", {"events": [marked(event(2)), {"member_id": MEMBER}]}),
        ("ehr", "POST", "/v1/accumulators/search", {**ref, "service_date": DAY}),
        ("portal", "POST", "/v1/visits/search", ref),
        ("admin", "POST", "/v1/overrides", {**grant, "approver": "desk", "reason": "appeal"}),
        ("admin", "POST", "/v1/audit/search", ref),
    ):
        answer = served.call(role, method, path, body)
        assert answer.status in {200, 201, 202}, (path, answer.data)
    held = served.call("ehr", "POST", "/v1/holds", asked)
    assert held.status == 201
    hold_id = held.json()["hold_id"]
    assert served.call("ehr", "POST", f"/v1/holds/{hold_id}/release", {}).status == 200


def be_refused(served: Served) -> None:
    """What is refused, and what fails within: in the body, in the store, and by a bug."""
    post = functools.partial(served.call, "ehr", "POST")
    assert post("/v1/visit-events", {**marked(event(1)), "state": "MN"}).status == 409
    assert post("/v1/visit-events", {**marked(event(3)), "x": MEMBER}).status == 422
    assert post("/v1/visit-events", {**marked(event(3)), "payer_id": MEMBER}).status == 404
    assert post("/v1/visit-events", f'{{"member_id": "{MEMBER}'.encode()).status == 400
    assert served.call("ops", "POST", "/v1/eligibility-checks", marked(check())).status == 403
    served.installation.write("revoke insert on audit_entry from needlecap_app")
    assert post("/v1/eligibility-checks", marked(check())).status == 503
    served.installation.write("grant insert on audit_entry to needlecap_app")
    served.installation.write(
        "alter table determination add constraint broken check (decided_at < '2000-01-01') not valid"
    )
    assert post("/v1/eligibility-checks", marked(check())).status == 500
    wait_for(lambda: b"call_failed" in served.log.read_bytes())


def become_a_dead_letter(served: Served) -> None:
    """An event that the worker can never apply, since the database refuses its rows and quotes them."""
    installation = served.installation
    installation.write("alter table visit add constraint refused check (visit_id <> 'v9') not valid")
    installation.write("alter table visit_event_waiting alter attempts set default 4")
    assert served.call("ehr", "POST", "/v1/visit-events", marked(event(9))).status == 202
    wait_for(lambda: installation.rows("select 1 from visit_event_dead"))


def at_a_terminal(served: Served, redis_url: str, *arguments: str, given: str | None = None) -> str:
    """What a command of the operator's prints."""
    environment = {
        "DATABASE_URL": served.installation.database_url,
        "REDIS_URL": redis_url,
        "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
    }
    result = CliRunner().invoke(main, arguments, env=environment, input=given)
    assert result.exit_code == 0, result.output
    return result.output


def test_nothing_about_people_is_written_down(
    served: Served, redis_url: str, postgres: Postgres, tmp_path: Path
) -> None:
    """No mark is in a log, metric, audit row or Redis, whether calls go well, are refused, or fail."""
    with worker(served.installation.database_url, redis_url, tmp_path).running() as counting:
        report_and_ask(served)
        wait_for(lambda: not served.installation.rows("select 1 from visit_event_waiting"))
        become_a_dead_letter(served)
        queued = in_redis(redis_url)
        merge = ("members", "merge", "--payer", PAYER)
        printed = at_a_terminal(served, redis_url, *merge, given=f"{OTHER_ID}\n{MEMBER}\n")
        printed += at_a_terminal(served, redis_url, "dead-letters", "list")
        printed += at_a_terminal(served, redis_url, "audit", "export", "--payer", PAYER, given=MEMBER)
        be_refused(served)
        assert counting.stop() == 0
        worked = counting.log
    metrics = served.call("ops", "GET", "/metrics").data.decode()
    status = served.call("ops", "GET", "/v1/status").data.decode()
    trail = str(served.installation.rows("select t::text from audit_entry t"))
    failures = str(served.installation.rows("select failure from visit_event_in_full"))
    database = postgres.embedded.log_path.read_text(errors="replace")
    written = {
        "log of the API": served.log.read_text(),
        "log of the worker": worked,
        "log of the database": database,
        "metrics": metrics,
        "status": status,
        "trail": trail,
        "failures": failures,
        "terminal": printed,
        "redis": queued + in_redis(redis_url),
    }
    found = {(place, mark) for place, text in written.items() for mark in MARKS if mark in text}
    assert found == set()
    events = {json.loads(line)["event"] for line in served.log.read_text().splitlines() if line[:1] == "{"}
    assert {"call_answered", "call_failed", "store_unavailable"} <= events
    assert "CheckViolation" in failures
    assert 'status="dead"} 1.0' in metrics
    assert all(name in trail for name in ("searchAudit", "releaseHold", "exportAudit", "event_conflict"))
    assert "nc:" in written["redis"]


def in_redis(redis_url: str) -> str:
    """Every key of both databases with its value: counters, flags, tasks, rates."""
    read: dict[bytes, Callable[[Any, bytes], Any]] = {
        b"string": lambda client, key: client.get(key),
        b"list": lambda client, key: client.lrange(key, 0, -1),
        b"set": lambda client, key: client.smembers(key),
        b"hash": lambda client, key: client.hgetall(key),
        b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    }
    found = []
    for number in (0, 1):
        with redis.Redis.from_url(redis_url.rsplit("/", 1)[0] + f"/{number}") as client:
            for key in client.scan_iter():
                kind = client.type(key)
                found.append(f"{key!r} {read[kind](client, key)!r}" if kind in read else repr(key))
    return "\n".join(found)
