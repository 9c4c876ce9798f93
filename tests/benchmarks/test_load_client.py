"""The benchmark's own client: it counts each answer once, and would rather fail than count wrongly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploy.benchmarks.load_client import Job, LoadFailed, run


class _Echo(BaseHTTPRequestHandler):
    """Answers 201 with what was sent; to `bye` by closing the connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Echo."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"bye":
            self.close_connection = True
            return
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where the echo listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def job(port: int, bodies: list[str], **changes: Any) -> Job:
    """Each body once, on four connections."""
    fields: dict[str, Any] = {"connections": 4, "seconds": 10.0, "repeat": False, **changes}
    return Job(host="127.0.0.1", port=port, path="/", headers={}, bodies=bodies, **fields)


def test_each_body_is_sent_and_counted_once(port: int) -> None:
    """Every answer has a status, a latency and, if asked for, its time."""
    found = run(job(port, [f"body {number}" for number in range(50)], stamps=True))
    assert found.answered == 50
    assert found.statuses == {"201": 50}
    assert len(found.answered_at_ns) == 50
    assert found.p99_us > 0


def test_answer_larger_than_a_packet_is_read_whole(port: int) -> None:
    """A part of an answer is not an answer."""
    found = run(job(port, ["x" * 100_000] * 3, connections=1))
    assert found.statuses == {"201": 3}
    assert found.first_answer.endswith("x" * 100_000)


def test_paced_load_keeps_its_pace(port: int) -> None:
    """Thirty requests at a hundred a second take about as long as they should, never less."""
    found = run(job(port, ["x"] * 30, per_second=100))
    assert found.answered == 30
    assert found.seconds >= 0.29


def test_repeated_load_ends_in_time(port: int) -> None:
    """It sends the same bodies over again until its seconds are over, and waits for the last answers."""
    found = run(job(port, ["a", "b"], repeat=True, seconds=0.2))
    assert found.answered > 2
    assert found.seconds >= 0.2


def test_connection_that_is_closed_fails_the_run(port: int) -> None:
    """A figure with lost answers would flatter the server."""
    with pytest.raises(LoadFailed):
        run(job(port, ["x", "bye", "x"], connections=1))
