"""Flask without what this API has no use for: sessions, coroutines, answers made while they are sent.

The server takes an answer that is one list of bytes at once. Any other it asks for piece by piece, and lets
go of the interpreter for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.routing import MapAdapter, Rule

#: Statuses below this one, and the two that follow, are left to werkzeug: it knows what their answers must
#: not have, such as a body, and what they need, such as a whole address to go to.
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
            whole: list[bytes] = body
            return whole
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Flask's."""
        super().__init__(*args, **kwargs)
        self._rules_of_addresses: dict[tuple[str, str], Rule] = {}

    def add_url_rule(self, rule: str, endpoint: str | None = None, *args: Any, **kwargs: Any) -> None:
        """As Flask's. Addresses without parameters are then looked up instead of matched."""
        super().add_url_rule(rule, endpoint, *args, **kwargs)
        for added in self.url_map.iter_rules(endpoint):
            if not added.arguments:
                self._rules_of_addresses |= {(method, added.rule): added for method in added.methods or ()}

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """What matches a call's address; none for one that was looked up, whose rule is noted in the call.

        Matching leaves objects that hold each other behind each call. To collect tens of thousands of them
        stops all calls, long enough for a hundredth of them to be late.
        """
        if request is not None:
            rule = self._rules_of_addresses.get((request.method, request.path))
            if rule is not None:
                request.url_rule, request.view_args = rule, {}
                return None
        return super().create_url_adapter(request)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none of ours is a coroutine, and finding out took longer than most of them."""
        return func
