"""Answers that come when the call's thread is gone: once, as Flask would make them, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
import structlog
from flask import Response, request
from granian import wsgi
from granian.server import mp
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from services.coverage_api import granian_later
from services.coverage_api.gathering import Gathering
from services.coverage_api.granian_later import take_later_answers
from services.coverage_api.later import LaterAnswers
from services.coverage_api.logs import CALL_FAILED
from services.coverage_api.plain_flask import NOT_YET, PlainFlask, ReadyResponse
from services.coverage_api.this_call import Notes, notes, this_request
from services.coverage_api.way_back import WAY_BACK_VARIABLE, WayBack, way_back_of
from shared.domain.errors import StoreUnavailable
from shared.ports import Sent
from tests.served_later import OneAnswer, served_later

_noted: ContextVar[str] = ContextVar("noted", default="nothing")


@pytest.fixture(autouse=True)
def _everything_is_logged() -> None:
    """Whatever level another test has set, here every line is seen."""
    structlog.reset_defaults()


def answer_all(questions: Sequence[str], _sent: Sent) -> list[str]:
    """Each in capitals; an empty one finds the store away."""
    if "" in questions:
        raise StoreUnavailable
    return [question.upper() for question in questions]


def application(respond: Callable[[str | Exception], Response], *, is_closed: bool = False) -> PlainFlask:
    """One that answers `POST /` later, with what `respond` makes of the body in capitals."""
    app = PlainFlask("test", static_folder=None)
    gathering: Gathering[str, str] = Gathering(answer_all, most=10, seconds_left=lambda: 10.0)
    later = LaterAnswers(app)
    if is_closed:
        later.close()

    def view() -> Response:
        asked = this_request()
        asked.notes = Notes("noted", started=0.0)
        _noted.set("something")
        way_back = way_back_of(asked.environ)
        assert way_back is not None
        return later.ask(way_back, gathering, asked.get_data(as_text=True), respond)

    def refuse(error: Exception) -> Response:
        return ReadyResponse(type(error).__name__.encode(), 503, "text/plain")

    def stamp(response: Response) -> Response:
        response.headers["X-Noted"] = f"{_noted.get()} {request.path} {notes().request_id}"
        return response

    app.add_url_rule("/", endpoint="ask", view_func=view, methods=["POST"], provide_automatic_options=False)
    app.register_error_handler(Exception, refuse)
    app.after_request(stamp)
    return app


def answered(app: PlainFlask, body: str) -> TestResponse:
    """The application's answer to a call, by a server that takes it later."""
    app.wsgi_app = served_later(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return app.test_client().post("/", data=body)


def plainly(result: str | Exception) -> Response:
    """The result as a text; one that is an error is raised."""
    if isinstance(result, Exception):
        raise result
    return ReadyResponse(result.encode(), 201, "text/plain")


@pytest.mark.parametrize(("body", "status", "said"), [("yes", 201, b"YES"), ("", 503, b"StoreUnavailable")])
def test_answer_and_problem_are_made_in_the_context_of_the_call(body: str, status: int, said: bytes) -> None:
    """What looks at every answer sees the call's request and what was set for it."""
    answer = answered(application(plainly), body)
    assert (answer.status_code, answer.data) == (status, said)
    assert answer.headers["X-Noted"] == "something / noted"
    assert answer.headers["Content-Length"] == str(len(said))


def test_refusal_that_comes_when_the_service_is_closed_is_given() -> None:
    """The threads that refuse have ended; the caller waits all the same."""
    answer = answered(application(plainly, is_closed=True), "")
    assert (answer.status_code, answer.data) == (503, b"StoreUnavailable")
    assert answer.headers["X-Noted"] == "something / noted"


def fail(_given: object) -> Response:
    """What has a bug."""
    raise ValueError


def test_bug_in_what_looks_at_every_answer_becomes_a_problem() -> None:
    """As Flask does it: the error handlers say what the caller hears."""
    app = application(plainly)
    app.after_request(fail)
    answer = answered(app, "yes")
    assert (answer.status_code, answer.mimetype, answer.data) == (503, "text/plain", b"InternalServerError")


def test_bug_in_the_error_handlers_is_still_an_answer() -> None:
    """The caller must not wait for ever, nor others behind it; the log says which call it was."""
    app = application(plainly)
    app.register_error_handler(Exception, fail)
    with capture_logs() as lines:
        answer = answered(app, "")
    assert (answer.status_code, answer.mimetype, answer.data) == (500, None, b"")
    [(kind, request_id)] = [
        (line["kind"], line["request_id"]) for line in lines if line["event"] == CALL_FAILED
    ]
    assert (kind, request_id) == ("ValueError", "noted")


def test_place_is_left_once_and_when_the_answer_is_given() -> None:
    """Also when the server would not take it."""
    left: list[str] = []

    class Gone(OneAnswer):
        def response_bytes(self, *_answer: Any) -> None:
            """Refuse the answer."""
            assert not left
            raise BrokenPipeError

    way_back = WayBack(Gone())
    way_back.keep()
    way_back.once_answered(lambda: left.append("left"))
    with pytest.raises(BrokenPipeError):
        way_back.answer(200, [], b"")
    assert left == ["left"]


def test_what_the_application_returns_counts_unless_it_answers_later() -> None:
    """Granian passes it on in either case."""
    server = OneAnswer()
    way_back = WayBack(server)
    way_back.keep()
    way_back.response_bytes(200, [], b"not yet")
    assert server.answers == []
    way_back.answer(201, [("A", "b")], b"now")
    assert server.answers == [(201, [("A", "b")], b"now")]
    at_once = WayBack(OneAnswer())
    at_once.response_bytes(200, [], b"at once")
    assert at_once._server.answers == [(200, [], b"at once")]  # type: ignore[attr-defined]


def test_what_is_not_yet_an_answer_passes_through_flask_as_nothing() -> None:
    """Nobody stamps it."""
    app = application(plainly)
    server = OneAnswer()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        WAY_BACK_VARIABLE: WayBack(server),
    }
    assert app.wsgi_app(environ, lambda *_: None) == []  # type: ignore[arg-type]
    assert "X-Noted" not in NOT_YET.headers
    assert len(server.answers) == 1


def _used() -> Any:
    """What granian wraps applications in."""
    return vars(mp)["_wsgi_call_wrap"]


def test_granian_is_the_one_that_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wrapper is where it was, hands on what we hand it, and leaves a later answer alone."""
    monkeypatch.setattr(mp, "_wsgi_call_wrap", wsgi._callback_wrapper)
    assert take_later_answers()
    seen: list[WayBack] = []

    def later(environ: dict[str, Any], _start: Any) -> list[bytes]:
        seen.append(environ[WAY_BACK_VARIABLE])
        seen[0].keep()
        return []

    server = OneAnswer()
    _used()(later, {"url_path_prefix": None}, None)(server, {"PATH_INFO": "/"})
    assert server.answers == []
    seen[0].answer(201, [], b"later")
    assert server.answers == [(201, [], b"later")]

    def at_once(_environ: dict[str, Any], start: Any) -> list[bytes]:
        start("202 Accepted", [("A", "b")])
        return [b"at ", b"once"]

    server = OneAnswer()
    _used()(at_once, {"url_path_prefix": None}, None)(server, {"PATH_INFO": "/"})
    assert server.answers == [(202, [("A", "b")], b"at once")]


def test_another_granian_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls then wait in their threads."""
    monkeypatch.setattr(mp, "_wsgi_call_wrap", lambda *_: None)
    wrapper = _used()
    assert not take_later_answers()
    assert _used() is wrapper
    monkeypatch.setattr(granian_later, "_WRAPPER", "not_there")
    assert not take_later_answers()
