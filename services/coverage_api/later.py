"""Answers that are given when the thread that took the call is gone.

A WSGI application answers by returning, so each call that waits for a commit keeps a thread waiting, which
has to be woken and to wait for the interpreter. A server that hands each call a `WayBack` can be answered by
whoever knows the answer; under any other, calls wait in their threads (`granian_later.py`).
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import structlog
from flask import Response

from services.coverage_api.gathering import Gathering
from services.coverage_api.logs import CALL_FAILED
from services.coverage_api.plain_flask import NOT_YET, PlainFlask, PlainRequest, WholeResponse
from shared.adapters.logs import described

Q = TypeVar("Q")
A = TypeVar("A")

#: Where the server puts a call's way back.
WAY_BACK_VARIABLE = "needlecap.way_back"

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Server(Protocol):
    """What a server offers for answering a call; the first answer counts."""

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer with a whole body."""

    def response_iter(self, status: int, headers: Sequence[tuple[str, str]], body: Any) -> None:
        """Answer with the pieces of a body, as they come."""


class WayBack:
    """A call's way back to its caller: what the application returns, or, once it `is_later`, `answer`."""

    __slots__ = ("_server", "is_later", "once_answered")

    def __init__(self, server: Server) -> None:
        """Answer by way of `server`."""
        self._server = server
        self.is_later = False
        self.once_answered: Callable[[], None] | None = None

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """What the application returned, unless it answers later."""
        if not self.is_later:
            self._server.response_bytes(status, headers, body)

    def response_iter(self, status: int, headers: Sequence[tuple[str, str]], body: Any) -> None:
        """The same in pieces; such a body is never for later."""
        self._server.response_iter(status, headers, body)

    def answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer a call that was to be answered later."""
        try:
            self._server.response_bytes(status, headers, body)
        finally:
            if self.once_answered is not None:
                self.once_answered()


def way_back_of(request: PlainRequest) -> WayBack | None:
    """How to answer this call later; None where the server has no such way."""
    found: WayBack | None = request.environ.get(WAY_BACK_VARIABLE)
    return found


class LaterAnswers:
    """Answers an application's calls once it is known what to answer, in the thread of whoever knows."""

    def __init__(self, app: PlainFlask, *, threads_max: int) -> None:
        """Calls of `app`. What is refused may take a while; up to `threads_max` threads see to that."""
        self._app = app
        self._refusing = ThreadPoolExecutor(threads_max, thread_name_prefix="refusing")

    def ask(
        self,
        way_back: WayBack,
        gathering: Gathering[Q, A],
        question: Q,
        respond: Callable[[A | Exception], Response],
    ) -> Response:
        """Have a call answered with what `respond` makes of the answer to a question.

        `respond` is called in the call's own context; what it raises becomes a problem, as in a view. What
        this returns is for Flask, and reaches nobody.
        """
        context = contextvars.copy_context()
        way_back.is_later = True

        def told(result: A | Exception) -> None:
            if isinstance(result, Exception):
                self._refusing.submit(context.run, self._answer, way_back, respond, result)
            else:
                context.run(self._answer, way_back, respond, result)

        gathering.ask_later(question, told)
        return NOT_YET

    def _answer(
        self, way_back: WayBack, respond: Callable[[A | Exception], Response], result: A | Exception
    ) -> None:
        """Do what Flask does with a view. Raises nothing: others wait for their answers behind this one."""
        try:
            status, headers, body = self._response(respond, result).whole()
        except Exception as error:  # noqa: BLE001 - nobody is there to hear of it
            _log.error(CALL_FAILED, **described(error))
            status, headers, body = 500, [], b""
        way_back.answer(status, headers, body)

    def _response(self, respond: Callable[[A | Exception], Response], result: A | Exception) -> WholeResponse:
        value: Any
        try:
            value = respond(result)
        except Exception as error:  # noqa: BLE001 - its handlers know what to make of it
            value = self._app.handle_user_exception(error)
        response = self._app.finalize_request(value)
        assert isinstance(response, WholeResponse), "the application makes no other"
        return response
