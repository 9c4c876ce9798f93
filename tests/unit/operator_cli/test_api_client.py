"""The client of the HTTP API, against a real server on the loopback interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from services.operator_cli.api_client import ApiClient, ApiUnreachableError
from services.operator_cli.runner.ports import LOOPBACK, choose


class Server(ThreadingHTTPServer):
    """Answers 503 as often as it was told to, and then says what it was asked."""

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), Handler)
        self.busy = 0
        self.plain = False
        self.requests: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_POST(self) -> None:
        """Note the request and answer it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = {"path": self.path, "headers": dict(self.headers), "body": body.decode()}
        self.server.requests.append(said)
        status = 200
        if self.server.busy:
            self.server.busy -= 1
            status = 503
        content = b"<html>" if self.server.plain else json.dumps({"status": status}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _client(url: str) -> ApiClient:
    return ApiClient(url, lambda _role: "key", pause_seconds=0)


def test_key_of_the_role_and_json_are_sent(server: Server) -> None:
    """Each call carries the key of its role; a value goes as JSON, bytes as they are."""
    client = ApiClient(server.url + "/", lambda role: f"key-of-{role}")
    answer = client.call("ehr", "POST", "/v1/x", {"used": 1}, {"Prefer": "wait=1"})
    client.call("admin", "POST", "/v1/y", b"a\nb", {"Content-Type": "application/x-ndjson"})
    first, second = server.requests
    assert answer.status == 200
    assert answer.headers["retry-after"] == "0"
    assert first["path"] == "/v1/x"
    assert first["headers"]["Authorization"] == "Bearer key-of-ehr"
    assert first["headers"]["Content-Type"] == "application/json"
    assert first["headers"]["Prefer"] == "wait=1"
    assert json.loads(first["body"]) == {"used": 1}
    assert second["headers"]["Authorization"] == "Bearer key-of-admin"
    assert second["headers"]["Content-Type"] == "application/x-ndjson"
    assert second["body"] == "a\nb"


def test_busy_service_is_asked_again(server: Server) -> None:
    """A 503 that says when to try again is not the end."""
    server.busy = 2
    answer = _client(server.url).call("ehr", "POST", "/v1/x", {})
    assert answer.status == 200
    assert len(server.requests) == 3


def test_service_that_stays_busy_is_believed(server: Server) -> None:
    """After a bounded number of attempts the 503 is the answer."""
    server.busy = 1_000
    answer = _client(server.url).call("ehr", "POST", "/v1/x", {})
    assert answer.status == 503
    assert len(server.requests) < 20


def test_something_else_on_the_port_is_said(server: Server) -> None:
    """An answer that is no JSON comes from no Needlecap."""
    server.plain = True
    with pytest.raises(ApiUnreachableError, match="is that Needlecap"):
        _client(server.url).call("ehr", "POST", "/v1/x", {})


def test_nobody_there_is_said_without_the_key() -> None:
    """A port on which nothing listens is an error in words, which name no secret."""
    url = f"http://{LOOPBACK}:{choose(None)}"
    with pytest.raises(ApiUnreachableError) as refusal:
        ApiClient(url, lambda _role: "nck_secret", pause_seconds=0).call("ehr", "POST", "/v1/x", {})
    assert refusal.value.message == f"Nothing answers at {url}; is `needlecap run` running?"


def test_nobody_there_is_found_out_beforehand() -> None:
    """A command can ask first whether anything answers, and needs no key for that."""
    url = f"http://{LOOPBACK}:{choose(None)}"
    with pytest.raises(ApiUnreachableError, match="is `needlecap run` running"):
        ApiClient(url, lambda _role: "nck_secret", pause_seconds=0).require_answer()
