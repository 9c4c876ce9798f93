"""Calls over HTTP as a careful client makes them: again and again until there is an answer."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.operator_cli.runner.ports import LOOPBACK

#: Longer than the service ever takes on purpose (five seconds, or ten that it was asked to wait).
PATIENCE_SECONDS = 13.0
NDJSON = "application/x-ndjson"


class GivenUp(Exception):
    """The run is over and this call never had an answer."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What all clients together saw. Safe to share between threads for what it does."""

    counts: Counter[str] = field(default_factory=Counter)
    #: What must not be: an answer that no client can make sense of.
    faults: list[str] = field(default_factory=list)
    #: When an API process was stopped, from and until; it cannot answer in time then.
    api_pauses: list[tuple[float, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, number: int = 1) -> None:
        """Count something."""
        with self.lock:
            self.counts[name] += number

    def refused(self, status: int, began: float, ended: float) -> None:
        """Count an answer that says no, and how long it took, unless an API was stopped meanwhile."""
        stopped = any(began < until and at < ended for at, until in list(self.api_pauses))
        with self.lock:
            self.counts[f"answered {status}"] += 1
            if not stopped:
                slowest = max(self.counts["slowest no ms"], int(1000 * (ended - began)))
                self.counts["slowest no ms"] = slowest

    def fault(self, what: str) -> None:
        """Note what must not be."""
        with self.lock:
            self.faults.append(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, and after how many attempts."""

    status: int
    body: Any
    replayed: bool
    attempts: int


class Line:
    """One client's connections to the APIs, any of which may answer. For one thread."""

    def __init__(self, ports: list[int], key: str, dice: random.Random, tally: Tally) -> None:
        """Connect to nothing yet."""
        self._ports = ports
        self._key = key
        self._dice = dice
        self._tally = tally
        self._connections: dict[int, http.client.HTTPConnection] = {}

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        final: set[int],
        over: threading.Event,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """The first answer with one of the `final` statuses. Raises GivenUp once it is `over`.

        No answer, 503 and 429 are asked again; anything else is a fault, and is taken for final.
        """
        attempts = 0
        while not over.is_set():
            attempts += 1
            answer = self._try(method, path, body, headers or {}, attempts)
            if answer is not None and answer.status in final:
                return answer
            if answer is not None and answer.status not in {429, 503}:
                self._tally.fault(f"{method} {path} answered {answer.status}: {answer.body}")
                return answer
            over.wait(self._dice.uniform(0.05, 0.3))
        raise GivenUp

    def close(self) -> None:
        """Hang up."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _try(
        self, method: str, path: str, body: object, headers: dict[str, str], attempts: int
    ) -> Answer | None:
        port = self._dice.choice(self._ports)
        content = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        kind = NDJSON if isinstance(body, bytes) else "application/json"
        sent = {"Authorization": f"Bearer {self._key}", "Content-Type": kind, **headers}
        connection = self._connections.get(port)
        if connection is None:
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE_SECONDS)
            self._connections[port] = connection
        began = time.monotonic()
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            said = orjson.loads(response.read())
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError):
            connection.close()
            del self._connections[port]
            self._tally.count("no answer")
            return None
        if response.status in {429, 503}:
            self._tally.refused(response.status, began, time.monotonic())
        return Answer(
            status=response.status,
            body=said,
            replayed=response.headers.get("Idempotent-Replay") == "true",
            attempts=attempts,
        )
