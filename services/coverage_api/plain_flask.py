"""Flask without what this API has no use for: sessions, coroutines, answers made while they are sent.

The server takes an answer that is one list of bytes at once. Any other it asks for piece by piece, and lets
go of the interpreter for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin

#: Of which werkzeug knows what their answers must not have, such as a body.
_WITHOUT_BODY_BELOW = 200
_NO_CONTENT = 204
_REDIRECTS = range(300, 400)


class WholeResponse(Response):
    """An answer whose body is there. `stamp` are headers that are sent behind its own."""

    stamp: Sequence[tuple[str, str]] = ()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Hand the whole answer to the server."""
        body: Any = self.response
        status = self.status_code
        is_usual = (
            type(body) is list
            and environ["REQUEST_METHOD"] != "HEAD"
            and status >= _WITHOUT_BODY_BELOW
            and status != _NO_CONTENT
            and status not in _REDIRECTS
        )
        if is_usual:
            start_response(self.status, [*self.headers, *self.stamp])
            return list[bytes](body)
        for name, value in self.stamp:
            self.headers.add(name, value)
        return super().__call__(environ, start_response)


class _NoSessions(SessionInterface):
    """Calls carry a key, never a cookie."""

    _none = NullSession()

    def open_session(self, _app: Flask, _request: Request) -> SessionMixin:
        """The session of every call: none."""
        return self._none


class PlainFlask(Flask):
    """An application of plain functions that answer with whole bodies."""

    response_class = WholeResponse
    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none of ours is a coroutine, and finding out took longer than most of them."""
        return func
