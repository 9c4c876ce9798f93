"""Flask without what this API has no use for: sessions, coroutines, blueprints, answers made while sent.

Flask finds out for each call anew which blueprints the address belongs to, who listens to its signals, and
all that might be asked of a request. The server takes an answer that is one list of bytes at once. Any other
it asks for piece by piece, and lets go of the interpreter for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface, SessionMixin
from flask.signals import appcontext_tearing_down, request_tearing_down
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter, Rule

from services.coverage_api.this_call import Notes, this_request

#: Statuses below this one, and the two that follow, are left to werkzeug: it knows what their answers must
#: not have, such as a body, and what they need, such as a whole address to go to.
_WITHOUT_BODY_BELOW = 200
_NO_CONTENT = 204
_REDIRECTS = range(300, 400)


#: Status, headers and body of an answer.
WholeAnswer: TypeAlias = tuple[int, list[tuple[str, str]], bytes]


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

    def whole(self) -> WholeAnswer:
        """What a server is handed later."""
        body: Any = self.response
        is_one = type(body) is list and len(body) == 1 and type(body[0]) is bytes
        return self.status_code, [*self.headers, *self.stamp], body[0] if is_one else self.get_data()


class _NotYet(WholeResponse):
    """What a view returns when the call is answered later; it reaches nobody."""

    def __call__(self, _environ: dict[str, Any], _start_response: Any) -> Iterable[bytes]:
        """Nothing."""
        return []


NOT_YET = _NotYet()


class ReadyResponse(WholeResponse):
    """An answer whose body and type are known when it is made."""

    def __init__(self, body: bytes, status: int, content_type: str) -> None:
        """Set what werkzeug sets, without its search for a type among headers that are not there yet."""
        self.headers = Headers()
        # In numbers; werkzeug puts it into words.
        self.status = status
        self.response = [body]
        self.stamp = (("Content-Type", content_type), ("Content-Length", str(len(body))))
        self.direct_passthrough = False
        self._on_close = []


class PlainRequest(Request):
    """A request whose address and headers are read off the environment once any of them is asked for."""

    notes: Notes

    def __init__(self, environ: dict[str, Any]) -> None:
        """Note where to read. The environment is not told of the request: they would hold each other."""
        self.environ = environ

    def __getattr__(self, name: str) -> Any:
        """What is asked for and was not read yet."""
        if "headers" in self.__dict__:
            raise AttributeError(name)
        super().__init__(self.environ, populate_request=False)
        return getattr(self, name)

    def close(self) -> None:
        """Close what a form brought, if one was read."""
        if "files" in self.__dict__:
            super().close()


class _NoSessions(SessionInterface):
    """Calls carry a key, never a cookie."""

    _none = NullSession()

    def open_session(self, _app: Flask, _request: Request) -> SessionMixin:
        """The session of every call: none."""
        return self._none


class PlainFlask(Flask):
    """An application of plain functions that answer with whole bodies."""

    request_class = PlainRequest
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
            environ = request.environ
            rule = self._rules_of_addresses.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            if rule is not None:
                request.url_rule, request.view_args = rule, {}
                return None
        return super().create_url_adapter(request)

    def preprocess_request(self) -> ResponseReturnValue | None:
        """Ask those who are asked before each call; the first to answer answers it."""
        for before in self.before_request_funcs.get(None, ()):
            answer: ResponseReturnValue | None = before()  # type: ignore[assignment]  # none of ours is a coroutine
            if answer is not None:
                return answer
        return None

    def dispatch_request(self) -> ResponseReturnValue:
        """What the address's function answers. Raises what stands against the address itself."""
        asked = this_request()
        rule = asked.url_rule
        refused = asked.routing_exception is not None
        if rule is None or refused or asked.environ["REQUEST_METHOD"] == "OPTIONS":
            return super().dispatch_request()
        view = self.view_functions[rule.endpoint]
        return view(**(asked.view_args or {}))  # type: ignore[return-value]  # none of ours is a coroutine

    def make_response(self, rv: Any) -> Response:
        """As Flask's, without its dozen questions where the answer is a response already."""
        return rv if isinstance(rv, WholeResponse) else super().make_response(rv)

    def finalize_request(self, rv: Any, from_error_handler: bool = False) -> Response:  # noqa: FBT001, FBT002 - Flask's
        """As Flask's; a call that is answered later has nothing to look at yet."""
        return rv if rv is NOT_YET else super().finalize_request(rv, from_error_handler)

    def process_response(self, response: Response) -> Response:
        """Have those who look at each answer do so, the last that was added first."""
        for after in reversed(self.after_request_funcs.get(None, ())):
            response = after(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Have those who clean up after each call do so."""
        if self.teardown_request_funcs or request_tearing_down.receivers:
            super().do_teardown_request(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """The same for those of the application."""
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(exc)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none of ours is a coroutine, and finding out took longer than most of them."""
        return func
