"""A server that takes an answer when it comes, as granian does, for an application in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from services.coverage_api.way_back import WAY_BACK_VARIABLE, WayBack

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

PATIENCE_SECONDS = 30.0


class OneAnswer:
    """Waits for the answer to one call; the first counts, and how many came is known."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, list[tuple[str, str]], bytes]] = []
        self._is_there = threading.Event()

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Take a whole answer."""
        self.answers.append((status, list(headers), body))
        self._is_there.set()

    def response_iter(self, status: int, headers: Sequence[tuple[str, str]], body: Any) -> None:
        """Take an answer in pieces."""
        self.response_bytes(status, headers, b"".join(body))

    def wait(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """The answer, once it is there."""
        assert self._is_there.wait(PATIENCE_SECONDS), "the call was never answered"
        return self.answers[0]


def served_later(app: WsgiApp) -> WsgiApp:
    """The application, with a way back for each call; it returns once the call is answered."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        server = OneAnswer()
        environ[WAY_BACK_VARIABLE] = way_back = WayBack(server)
        answer = app(environ, start_response)
        if not way_back.is_kept:
            assert not server.answers, "a call is answered once"
            return answer
        status, headers, body = server.wait()
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    return serve
