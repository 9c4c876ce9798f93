"""The served API is stopped: whoever called is answered, and what was gathered is written down."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import urllib3

from services.operator_cli.runner import ports
from tests.api_service import HASH_KEY, Api, Installation, check
from tests.waiting import wait_for

STOP_SECONDS_MAX = 20


class Served:
    """The API as granian serves it, in a process of its own."""

    def __init__(self, installation: Installation, process: subprocess.Popen[bytes], port: int) -> None:
        self.installation = installation
        self.process = process
        self._port = port
        self._pool = urllib3.PoolManager(retries=False)

    def call(self, method: str, path: str, body: Any = None) -> int:
        """Make one call with a key; its status. Raises what urllib3 raises."""
        headers = {"Authorization": f"Bearer {self.installation.key('ehr')}"}
        url = f"http://127.0.0.1:{self._port}{path}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body)
        return self._pool.request(method, url, body=content, headers=headers).status

    def listens(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self._port)) == 0


def is_waited_for(store: psycopg.Connection[Any]) -> bool:
    """Whether a call waits for a table that is locked."""
    rows = store.execute("select pid from pg_locks where not granted and locktype = 'relation'")
    return rows.rowcount > 0


@pytest.fixture
def served(api: Api, redis_url: str, tmp_path: Path) -> Iterator[Served]:
    """Another process on the database of a member; it writes its log to a file."""
    port = ports.choose(None)
    environment = os.environ | {
        "DATABASE_URL": api.installation.database_url,
        "REDIS_URL": redis_url,
        "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "services.coverage_api.wsgi:app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--http", "1", "--no-ws"]
    command += ["--workers", "1", "--blocking-threads", "4", "--log-level", "warning"]
    log = tmp_path / "api.log"
    with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process:
        served = Served(api.installation, process, port)
        try:
            wait_for(served.listens)
            yield served
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


def test_what_was_gathered_is_written_when_the_service_stops(served: Served, tmp_path: Path) -> None:
    """Uses of keys, which are gathered for a second, and log lines."""
    assert served.call("POST", "/v1/eligibility-checks", {}) == 422
    served.process.terminate()
    assert served.process.wait(STOP_SECONDS_MAX) == 0
    _, prefix, _ = served.installation.key("ehr").split("_")
    ((used,),) = served.installation.rows(
        "select last_used_at is not null from credential where prefix = %s", prefix
    )
    assert used
    lines = [json.loads(line) for line in (tmp_path / "api.log").read_text().splitlines() if line[0] == "{"]
    assert [(line["event"], line["status"]) for line in lines] == [("call_answered", 422)]


def test_call_that_waits_when_the_service_stops_is_answered(served: Served) -> None:
    """Also one that is answered later, as all but the first with a key are: the store is there until then."""
    assert served.call("POST", "/v1/eligibility-checks", check()) == 201
    with psycopg.connect(served.installation.database_url) as store, ThreadPoolExecutor(1) as pool:
        store.execute("lock table determination in share row exclusive mode")
        waiting = pool.submit(served.call, "POST", "/v1/eligibility-checks", check())
        wait_for(partial(is_waited_for, store))
        served.process.terminate()
        store.rollback()
        assert waiting.result(STOP_SECONDS_MAX) == 201
    assert served.process.wait(STOP_SECONDS_MAX) == 0
