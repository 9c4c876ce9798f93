"""Answers as the server is handed them: whole, with the headers that every answer has behind their own."""

from __future__ import annotations

from typing import Any

from werkzeug.test import create_environ

from services.coverage_api.plain_flask import PlainFlask, WholeResponse


def answered(method: str, path: str) -> tuple[str, dict[str, str], Any]:
    """Status, headers and what is handed over of an application's answer to one call."""
    app = PlainFlask("plain", static_folder=None)

    @app.get("/text")
    def text() -> WholeResponse:
        return WholeResponse(b"text", 200)

    @app.get("/nothing")
    def nothing() -> WholeResponse:
        return WholeResponse(b"", 204)

    @app.after_request
    def finish(response: WholeResponse) -> WholeResponse:
        response.stamp = [("X-Stamp", "yes")]
        return response

    started: list[Any] = []

    def start_response(*given: Any) -> Any:
        started.append(given)

    handed = app(create_environ(path, method=method), start_response)
    status, headers = started[0]
    return status, dict(headers), handed


def test_usual_answer_is_handed_over_as_one_list() -> None:
    """The server sends a list at once, and asks for anything else piece by piece."""
    status, headers, handed = answered("GET", "/text")
    assert (status, handed) == ("200 OK", [b"text"])
    assert headers["Content-Length"] == "4"
    assert headers["X-Stamp"] == "yes"


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
