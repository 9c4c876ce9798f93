"""What the served API writes down while it works tells nothing about people (I8)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import urllib3

from services.operator_cli.runner import ports
from tests.api_service import HASH_KEY, Installation, check, enrollments, event
from tests.builders import PAYER
from tests.waiting import wait_for

#: Whatever is about a person in the requests below, so that it can be looked for everywhere.
MEMBER = "ZZMEMBERZZ"
DIAGNOSIS = "Z99.89"
NPI = "1999999999"
DAY = "2031-07-19"
MARKS = (MEMBER, DIAGNOSIS, NPI, DAY)


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


def test_nothing_about_people_is_written_down(served: Served, redis_url: str) -> None:
    """No mark is in a log line, a metric or Redis, whether calls go well, are refused, or fail."""
    plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
    assert served.call("admin", "PUT", f"/v1/payers/{PAYER}/plans/employer", plan).status == 201
    assert served.call("admin", "PUT", "/v1/enrollments", enrollments(member_id=MEMBER)).status == 200
    assert served.call("ehr", "POST", "/v1/eligibility-checks", marked(check())).status == 201
    assert served.call("ehr", "POST", "/v1/visit-events", marked(event(1))).status == 202
    assert served.call("ehr", "POST", "/v1/holds", marked(check())).status == 201
    assert served.call("ehr", "POST", "/v1/visit-events", {**marked(event(1)), "state": "MN"}).status == 409
    assert served.call("ehr", "POST", "/v1/visit-events", {**marked(event(2)), "x": MEMBER}).status == 422
    assert served.call("ehr", "POST", "/v1/visit-events", f'{{"member_id": "{MEMBER}'.encode()).status == 400
    served.installation.write(
        "alter table determination add constraint broken check (decided_at < '2000-01-01') not valid"
    )
    assert served.call("ehr", "POST", "/v1/eligibility-checks", marked(check())).status == 500
    wait_for(lambda: b"call_failed" in served.log.read_bytes())
    metrics = served.call("ops", "GET", "/metrics").data.decode()
    written = served.log.read_text() + metrics + in_redis(redis_url)
    assert [mark for mark in MARKS if mark in written] == []
    events = {json.loads(line)["event"] for line in served.log.read_text().splitlines() if line[:1] == "{"}
    assert {"call_answered", "call_failed"} <= events


def in_redis(redis_url: str) -> str:
    """Every key of both databases, and the tasks that wait."""
    found = []
    for number in (0, 1):
        with redis.Redis.from_url(redis_url.rsplit("/", 1)[0] + f"/{number}") as client:
            for key in client.scan_iter():
                found.append(key)
                if client.type(key) == b"list":
                    found += client.lrange(key, 0, -1)
    return b"\n".join(found).decode(errors="replace")
