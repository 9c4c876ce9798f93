"""Answers as the server is handed them: whole, with the headers that every answer has behind their own."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import pytest
from flask import request
from werkzeug.test import create_environ

from services.coverage_api.arrivals import Arrivals
from services.coverage_api.plain_flask import PlainFlask, ReadyResponse, WholeResponse


def answered(method: str, path: str) -> tuple[str, dict[str, str], Any]:
    """Status, headers and what is handed over of an application's answer to one call."""
    return answer_of(plain_app(), create_environ(path, method=method))


def answer_of(app: PlainFlask, environ: dict[str, Any]) -> tuple[str, dict[str, str], Any]:
    """The same of this application's answer to this call."""
    started: list[Any] = []

    def start_response(*given: Any) -> Any:
        started.append(given)

    handed = app(environ, start_response)
    status, headers = started[0]
    return status, dict(headers), handed


def plain_app() -> PlainFlask:
    """An application with an address or two, one of them with a parameter."""
    app = PlainFlask("plain", static_folder=None)

    @app.get("/text")
    def text() -> WholeResponse:
        return WholeResponse(b"text", 200)

    @app.post("/body")
    def body() -> WholeResponse:
        return WholeResponse(request.environ["wsgi.input"].read(100), 200)

    @app.get("/<name>/of")
    def named(name: str) -> WholeResponse:
        return WholeResponse(f"{request.url_rule}: {name}".encode(), 200)

    @app.post("/asked")
    def asked() -> WholeResponse:
        sent = f"{request.method} {request.path} {request.args['of']} {request.headers['X-By']}"
        return WholeResponse(f"{sent} {request.form['field']} {hasattr(request, 'elsewhere')}".encode(), 200)

    @app.get("/ready")
    def ready() -> WholeResponse:
        return ReadyResponse(b"{}", 201, "application/json")

    @app.get("/nothing")
    def nothing() -> WholeResponse:
        return WholeResponse(b"", 204)

    @app.after_request
    def finish(response: WholeResponse) -> WholeResponse:
        response.stamp = [*response.stamp, ("X-Stamp", "yes")]
        return response

    return app


def test_usual_answer_is_handed_over_as_one_list() -> None:
    """The server sends a list at once, and asks for anything else piece by piece."""
    status, headers, handed = answered("GET", "/text")
    assert (status, handed) == ("200 OK", [b"text"])
    assert headers["Content-Length"] == "4"
    assert headers["X-Stamp"] == "yes"


def test_ready_answer_has_its_type_and_length() -> None:
    """An answer that is made without werkzeug is sent as one that is, also where only its headers are."""
    for method, body in (("GET", b"{}"), ("HEAD", b"")):
        status, headers, handed = answered(method, "/ready")
        assert (status, b"".join(handed)) == ("201 CREATED", body)
        assert headers == {"Content-Type": "application/json", "Content-Length": "2", "X-Stamp": "yes"}


def test_unknown_address_is_stamped_too() -> None:
    """What Flask itself refuses has the same headers."""
    status, headers, handed = answered("GET", "/elsewhere")
    assert (status, headers["X-Stamp"]) == ("404 NOT FOUND", "yes")
    assert int(headers["Content-Length"]) == len(b"".join(handed))


def test_answers_without_a_body_are_left_to_werkzeug() -> None:
    """HEAD and 204 have headers and no body, 204 no length either."""
    _, headers, handed = answered("HEAD", "/text")
    assert (headers["Content-Length"], headers["X-Stamp"], b"".join(handed)) == ("4", "yes", b"")
    _, headers, handed = answered("GET", "/nothing")
    assert ("Content-Length" in headers, headers["X-Stamp"], b"".join(handed)) == (False, "yes", b"")


def test_addresses_with_and_without_parameters_are_found() -> None:
    """Those without are looked up, and are refused for other methods as before."""
    assert answered("GET", "/one/of")[2] == [b"/<name>/of: one"]
    assert answered("POST", "/text")[:1] == ("405 METHOD NOT ALLOWED",)
    assert answered("GET", "/text/")[:1] == ("404 NOT FOUND",)


def test_request_is_read_off_the_environment_when_asked() -> None:
    """What a view asks of its request is what the caller sent, and nothing else is there."""
    environ = create_environ("/asked?of=it", method="POST", headers={"X-By": "me"}, data={"field": "1"})
    assert answer_of(plain_app(), environ)[2] == [b"POST /asked it me 1 False"]


def test_whoever_asked_to_be_called_is_called_in_order() -> None:
    """Functions before, after and at the end of a call are called, and the first answer is the answer."""
    app, called = plain_app(), []

    @app.before_request
    def before() -> WholeResponse | None:
        called.append("before")
        return WholeResponse(b"instead", 200) if request.args else None

    @app.after_request
    def after(response: WholeResponse) -> WholeResponse:
        called.append("after")
        return response

    app.teardown_request(lambda _error: called.append("end"))
    app.teardown_appcontext(lambda _error: called.append("last"))
    assert answer_of(app, create_environ("/text"))[2] == [b"text"]
    assert answer_of(app, create_environ("/text?x=1"))[2] == [b"instead"]
    assert called == ["before", "after", "end", "last"] * 2


@pytest.mark.parametrize(("method", "path"), [("GET", "/text"), ("POST", "/body")])
def test_call_leaves_no_garbage_behind(method: str, path: str) -> None:
    """What belongs to a call is gone with it, without the collector: it stops all calls when it comes."""
    served = Arrivals(
        plain_app().wsgi_app,
        working_max=1,
        arriving_max=1,
        arrived=lambda _seconds: None,
        suspicious=lambda _port, _longest: None,
        monotonic=time.monotonic,
    )
    environ = create_environ(path, method=method, data=b"body" if method == "POST" else None)
    body = weakref.ref(environ["wsgi.input"])
    gc.disable()
    try:
        served(environ, lambda *_: None)
        del environ
        assert body() is None
    finally:
        gc.enable()
