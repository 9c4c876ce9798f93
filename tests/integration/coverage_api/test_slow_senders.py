"""Senders that take their time, or never end: everybody else is answered as if they were not there."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from services.coverage_api.settings import ARRIVING_MAX
from services.operator_cli.runner import ports
from services.operator_cli.runner.services import API_THREADS
from tests.api_service import HASH_KEY, Installation, check
from tests.servers import Postgres, Server
from tests.waiting import wait_for

SENDER_SECONDS_MAX = 3
BULK, NDJSON = "/v1/visit-events/bulk", "application/x-ndjson"
#: Far above what a check takes here, far below what waiting for a slow sender would take.
PROMPT_SECONDS = 5.0


class Served:
    """The API in a process of its own, with the threads that it has in earnest."""

    def __init__(self, port: int, installation: Installation) -> None:
        self.port = port
        self.ehr = installation.key("ehr")
        self.other = installation.key("ehr", name="another-ehr")
        self.opened: list[socket.socket] = []

    def answers(self) -> bool:
        """Whether it answers at all."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def check(self, key: str) -> tuple[int, float]:
        """The status of an eligibility check, and the seconds it took."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/eligibility-checks", json.dumps(check()), headers)
        status = connection.getresponse().status
        connection.close()
        return status, time.monotonic() - began

    def begin(self, key: str, path: str, kind: str, length: str) -> socket.socket:
        """A request whose body has only begun."""
        sender = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.opened.append(sender)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: {kind}\r\n"
        sender.sendall(f"{head}{length}\r\n\r\n".encode())
        return sender

    def half_a_check(self, key: str) -> socket.socket:
        """A check of which one byte has come."""
        sender = self.begin(key, "/v1/eligibility-checks", "application/json", "Content-Length: 1000")
        sender.sendall(b"{")
        return sender

    def endless_stream(self, key: str) -> socket.socket:
        """A stream of events without an end, of which the first line has begun."""
        sender = self.begin(
            key, "/v1/visit-events/bulk", "application/x-ndjson", "Transfer-Encoding: chunked"
        )
        sender.sendall(b"1\r\n{\r\n")
        return sender


@pytest.fixture(scope="module")
def served(postgres: Postgres, valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The API as `needlecap run` starts it, which cuts slow senders off after a few seconds."""
    with postgres.database("slow_senders") as url:
        installation = Installation(url)
        installation.load_catalog()
        port = ports.choose(None)
        environment = os.environ | {
            "DATABASE_URL": url,
            "REDIS_URL": valkey.url,
            "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
            "NEEDLECAP_SENDER_SECONDS_MAX": str(SENDER_SECONDS_MAX),
        }
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "services.coverage_api.wsgi:app"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--http", "1", "--no-ws", "--workers", "1"]
        command += ["--blocking-threads", str(API_THREADS), "--backlog", "2048", "--log-level", "warning"]
        log = tmp_path_factory.mktemp("slow") / "api.log"
        with log.open("wb") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=out) as run:
            made = Served(port, installation)
            try:
                wait_for(made.answers)
                yield made
            finally:
                run.terminate()
                run.wait(20)
                installation.close()


@pytest.fixture(autouse=True)
def closed_afterwards(served: Served) -> Iterator[None]:
    """No sender outlives its test."""
    yield
    for sender in served.opened:
        sender.close()
    served.opened.clear()


@contextlib.contextmanager
def dribbled_to(senders: list[socket.socket]) -> Iterator[None]:
    """A byte goes to each now and then while the block runs."""
    over = threading.Event()

    def dribble() -> None:
        while not over.wait(0.3):
            for sender in senders:
                with contextlib.suppress(OSError):
                    sender.sendall(b" ")

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_cut_off(sender: socket.socket) -> bool:
    """Whether the server has answered or closed by now."""
    sender.settimeout(0.01)
    try:
        sender.recv(4096)
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_checks_are_answered_beside_senders_that_dribble(served: Served) -> None:
    """With 64 of them their client, and others, are answered at once; then they are cut off."""
    senders = [served.half_a_check(served.ehr) for _ in range(64)]
    with dribbled_to(senders):
        for key in (served.ehr, served.other):
            status, seconds = served.check(key)
            assert status == 201
            assert seconds < PROMPT_SECONDS
        wait_for(lambda: served.check(served.other)[0] == 201 and all(map(is_cut_off, senders)))


def test_more_stalled_senders_than_threads_keep_no_other_client_out(served: Served) -> None:
    """Beyond its share a client is told to come back; others are answered, and it too when it was cut off."""
    senders = [served.half_a_check(served.ehr) for _ in range(API_THREADS + 50)]
    status, seconds = served.check(served.other)
    assert status == 201
    assert seconds < PROMPT_SECONDS
    wait_for(lambda: sum(map(is_cut_off, senders)) >= len(senders) - ARRIVING_MAX)
    wait_for(lambda: served.check(served.ehr)[0] == 201)
    wait_for(lambda: served.check(served.other)[0] == 201 and all(map(is_cut_off, senders)))


def test_endless_streams_keep_no_other_client_from_loading(served: Served) -> None:
    """One client's streams take its own places; another's stream is taken in, and checks are answered."""
    senders = [served.endless_stream(served.ehr) for _ in range(12)]
    assert served.check(served.ehr)[0] == 201
    stream = served.begin(served.other, BULK, NDJSON, "Content-Length: 2\r\nConnection: close")
    stream.sendall(b"\n\n")
    stream.settimeout(PROMPT_SECONDS)
    assert re.match(rb"HTTP/1.1 200 ", stream.recv(4096))
    wait_for(lambda: served.check(served.other)[0] == 201 and all(map(is_cut_off, senders)))


def test_slow_but_steady_sender_is_not_cut_off(served: Served) -> None:
    """Whoever brings more than a trickle may take longer than the time of those that do not."""
    body = json.dumps(check()).encode()
    padded = body[:-1] + b" " * (40_000 - len(body)) + b"}"
    steady = served.begin(
        served.ehr, "/v1/eligibility-checks", "application/json", f"Content-Length: {len(padded)}"
    )
    stalled = served.half_a_check(served.other)
    began = time.monotonic()
    pause = threading.Event()
    for start in range(0, len(padded), 2_000):
        steady.sendall(padded[start : start + 2_000])
        pause.wait(0.25)
        served.check(served.other)
    assert time.monotonic() - began > SENDER_SECONDS_MAX
    assert re.match(rb"HTTP/1.1 201 ", steady.recv(4096))
    assert is_cut_off(stalled)
