"""The Flask application: routing, request ids, a problem for whatever goes wrong, and the access log."""

from __future__ import annotations

import functools
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import structlog
from flask import Flask, Response
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.routing import BaseConverter

from services.coverage_api.access_log import AccessLog
from services.coverage_api.auditing import Auditor
from services.coverage_api.bodies import discard_rest
from services.coverage_api.deadline import BudgetedStore
from services.coverage_api.dispatch import view_of
from services.coverage_api.errors import (
    HTTP_ERRORS,
    INTERNAL,
    Unauthenticated,
    problem,
    problem_type,
    retry_after,
)
from services.coverage_api.http import PROBLEM_TYPE, Answer, Endpoint, respond
from services.coverage_api.later import LaterAnswers
from services.coverage_api.logs import CALL_FAILED, STORE_UNAVAILABLE
from services.coverage_api.metrics import Metrics
from services.coverage_api.openapi import public_path
from services.coverage_api.plain_flask import PlainFlask, WholeResponse
from services.coverage_api.rate_limits import RateLimiter, RateStanding
from services.coverage_api.security import Doorkeeper
from services.coverage_api.this_call import Notes, notes, this_request
from shared.adapters.logs import described
from shared.domain.errors import NeedlecapError, StoreUnavailable

UNKNOWN_ROUTE = "unknown"
UNKNOWN_METHOD = "OTHER"

#: Whatever else a caller makes up is not written down, nor a label of a metric.
HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
REQUEST_ID_HEADER = "X-Request-ID"
#: As WSGI names it.
_REQUEST_ID = "HTTP_X_REQUEST_ID"

#: Each after its name in small letters.
_HEADERS = tuple(
    (name.lower(), name, value)
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("Referrer-Policy", "no-referrer"),
    )
)

_is_request_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}", re.ASCII).fullmatch

OpenRoute = tuple[str, Literal["GET", "POST"], str, Callable[..., Response]]

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class SlugConverter(BaseConverter):
    """The id of a payer in an address."""

    regex = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"


class IdConverter(BaseConverter):
    """An id that we made ourselves."""

    regex = r"[A-Za-z0-9_-]{1,64}"


class TextConverter(BaseConverter):
    """An id that a client chose: up to 200 characters, slashes too, but no control characters."""

    regex = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}"
    part_isolating = False


class NumberConverter(BaseConverter):
    """A version number, from 1."""

    regex = r"[1-9][0-9]{0,8}"


def create_app(
    endpoints: Sequence[Endpoint],
    open_routes: Sequence[OpenRoute],
    doorkeeper: Doorkeeper,
    limiter: RateLimiter,
    auditor: Auditor,
    store: BudgetedStore,
    metrics: Metrics,
    note: AccessLog,
) -> tuple[Flask, LaterAnswers]:
    """The application that answers `endpoints`, behind the doorkeeper, and `open_routes`, which need no key.

    Beside it what answers its calls later, which is to be closed. Calls of endpoints are told to the auditor,
    all calls are counted and noted. `open_routes` are (name, method, path, view).
    """
    app = PlainFlask("needlecap", static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.converters.update(
        slug=SlugConverter, id=IdConverter, text=TextConverter, number=NumberConverter
    )
    later = LaterAnswers(app)
    templates: dict[str, str] = {}
    for endpoint in endpoints:
        rule = flask_rule(endpoint.path)
        templates[rule] = public_path(endpoint.path)
        _add(
            app,
            endpoint.name,
            endpoint.method,
            rule,
            view_of(endpoint, doorkeeper, limiter, auditor, store, later),
        )
    for name, method, path, view in open_routes:
        rule = flask_rule(path)
        templates[rule] = public_path(path)
        _add(app, name, method, rule, view)
    app.before_request(_begin(store))
    app.after_request(_finish(metrics, note, templates))
    app.register_error_handler(NeedlecapError, _refuse)
    app.register_error_handler(HTTPException, _refuse_http)
    app.register_error_handler(Exception, _fail)
    return app, later


def flask_rule(path: str) -> str:
    """An endpoint's path, `{name:kind}`, as a Werkzeug rule, `<kind:name>`."""
    return re.sub(r"\{(\w+):(\w+)\}", r"<\2:\1>", path)


def _add(app: Flask, name: str, method: str, rule: str, view: Callable[..., Response]) -> None:
    app.add_url_rule(rule, endpoint=name, view_func=view, methods=[method], provide_automatic_options=False)


def _begin(store: BudgetedStore) -> Callable[[], None]:
    def begin() -> None:
        asked = this_request()
        given = asked.environ.get(_REQUEST_ID, "")
        request_id = given if given and _is_request_id(given) else _new_request_id()
        asked.notes = Notes(request_id, time.perf_counter())
        store.begin_call()

    return begin


def _finish(
    metrics: Metrics, note: AccessLog, templates: Mapping[str, str]
) -> Callable[[WholeResponse], WholeResponse]:
    """Stamp every answer, count it, and write its line of the access log."""

    def finish(response: WholeResponse) -> WholeResponse:
        asked = this_request()
        call = asked.notes
        response.stamp = [*response.stamp, *_stamp(response, call.request_id, call.rate)]
        seconds = time.perf_counter() - call.started
        route = templates[asked.url_rule.rule] if asked.url_rule is not None else UNKNOWN_ROUTE
        named = asked.environ["REQUEST_METHOD"].upper()
        method = named if named in HTTP_METHODS else UNKNOWN_METHOD
        status = response.status_code
        metrics.answered(method, route, status, seconds)
        note(method, route, status, seconds, call.request_id, call.client_name)
        return response

    return finish


def _stamp(response: Response, request_id: str, rate: RateStanding | None) -> list[tuple[str, str]]:
    """The headers that every answer has, without those that this one has by itself."""
    stamp = [(REQUEST_ID_HEADER, request_id), *_beside(tuple([name for name, _ in response.headers]))]
    if rate is not None:
        stamp += rate.headers()
    return stamp


@functools.lru_cache(maxsize=100)
def _beside(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The headers that are the same for every answer, for one that has headers of these names."""
    given = {name.lower() for name in names}
    return [(name, value) for lowered, name, value in _HEADERS if lowered not in given]


def _new_request_id() -> str:
    """Nothing secret: it only has to be no other's, so the system's generator is not asked each time."""
    return f"{random.getrandbits(128):032x}"


def _problem_response(document: dict[str, Any], headers: Sequence[tuple[str, str]] = ()) -> Response:
    answer = Answer(status=document["status"], body=document, headers=tuple(headers))
    return respond(answer, PROBLEM_TYPE)


def _refuse(error: NeedlecapError) -> Response:
    """The problem of an error that the table knows; any other is a bug."""
    if problem_type(error) is INTERNAL:
        return _fail(error)
    if notes().client_name is not None:
        discard_rest(this_request())
    headers = []
    if isinstance(error, Unauthenticated):
        headers.append(("WWW-Authenticate", 'Bearer realm="needlecap"'))
    seconds = retry_after(error)
    if seconds is not None:
        headers.append(("Retry-After", str(seconds)))
    if isinstance(error, StoreUnavailable):
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        _log.warning(STORE_UNAVAILABLE, request_id=notes().request_id, kind=cause)
    return _problem_response(problem(error, notes().request_id), headers)


def _refuse_http(error: HTTPException) -> Response:
    """The problem of what Flask itself refuses: unknown addresses, wrong methods, broken requests."""
    known = HTTP_ERRORS.get(error.code or 500)
    if known is None:
        cause = error.original_exception if isinstance(error, InternalServerError) else None
        return _fail(cause if isinstance(cause, Exception) else error)
    headers = [(name, value) for name, value in error.get_headers() if name == "Allow"]
    return _problem_response(problem(known(), notes().request_id), headers)


def _fail(error: Exception) -> Response:
    """A bug: the caller learns the request's id, the log where it happened, neither the data."""
    _log.error(CALL_FAILED, request_id=notes().request_id, **described(error))
    detail = "The failure is in the log under this request_id."
    return _problem_response(INTERNAL.render(detail, notes().request_id))
