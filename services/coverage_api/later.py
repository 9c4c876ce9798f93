"""Answers that are given when the thread that took the call is gone.

Each call that waits for a commit would keep a thread waiting, which has to be woken and to wait for the
interpreter. A call whose way back is kept (`way_back.py`) is answered by the thread that stored it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import structlog
from flask import Response

from services.coverage_api.gathering import Gathering
from services.coverage_api.logs import ANSWER_NOT_TAKEN, CALL_FAILED
from services.coverage_api.plain_flask import NOT_YET, PlainFlask, WholeAnswer, WholeResponse
from services.coverage_api.settings import WORKING_MAX
from services.coverage_api.this_call import notes
from services.coverage_api.way_back import WayBack
from shared.adapters.logs import described

Q = TypeVar("Q")
A = TypeVar("A")

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class LaterAnswers:
    """Answers calls once it is known what: in the thread that stored it, or, refusals, in one of its own."""

    def __init__(self, app: PlainFlask) -> None:
        """Calls of `app`."""
        self._app = app
        # Whoever refuses may ask the database first. No more calls wait for that than are worked on.
        self._refusing = ThreadPoolExecutor(WORKING_MAX, thread_name_prefix="refusing")

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
        way_back.keep()

        def told(result: A | Exception) -> None:
            answer = partial(self._answer, way_back, respond, result)
            if isinstance(result, Exception):
                self._refuse(context, answer)
            else:
                context.run(answer)

        gathering.ask_later(question, told)
        return NOT_YET

    def close(self) -> None:
        """Return when all refusals are given that are known. Later ones are given where they become known."""
        self._refusing.shutdown()

    def _refuse(self, context: contextvars.Context, answer: Callable[[], None]) -> None:
        """Answer in a thread of our own, behind which nobody waits; in this one if those have ended."""
        try:
            self._refusing.submit(context.run, answer)
        except RuntimeError:
            context.run(answer)

    def _answer(
        self, way_back: WayBack, respond: Callable[[A | Exception], Response], result: A | Exception
    ) -> None:
        """Do what Flask does with a view. Raises nothing: others wait for their answers behind this one."""
        answer: WholeAnswer = (500, [], b"")
        try:
            answer = self._response(respond, result).whole()
        except Exception as error:  # noqa: BLE001 - the caller hears of it
            _log.error(CALL_FAILED, request_id=notes().request_id, **described(error))
        try:
            way_back.answer(*answer)
        except Exception as error:  # noqa: BLE001 - nobody is there to hear of it
            _log.error(ANSWER_NOT_TAKEN, request_id=notes().request_id, **described(error))

    def _response(self, respond: Callable[[A | Exception], Response], result: A | Exception) -> WholeResponse:
        """What Flask would answer. Raises what its error handlers do: then there is nothing left to say."""
        try:
            response = self._app.finalize_request(self._value(respond, result))
        except Exception as error:  # noqa: BLE001 - a bug, of which the application's error handlers tell
            response = self._app.handle_exception(error)
        assert isinstance(response, WholeResponse), "the application makes no other"
        return response

    def _value(self, respond: Callable[[A | Exception], Response], result: A | Exception) -> Any:
        """What the call's view, or an error handler, returns."""
        try:
            return respond(result)
        except Exception as error:  # noqa: BLE001 - its handlers know what to make of it
            return self._app.handle_user_exception(error)
