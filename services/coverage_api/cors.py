"""Which pages of other origins a browser may let call the API: those of a list, and without one none.

Calls carry a key in a header and never a cookie, so no origin is given credentials. Fetch standard, section
3.2: https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flask import Response, request

MAX_AGE_SECONDS = 600

_METHODS = "GET, POST, PUT"
_SENT = "Authorization, Content-Type, Idempotency-Key, Prefer, X-Purpose-Of-Use, X-Request-ID"
_SHOWN = "Idempotent-Replay, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"


def answer_preflight(origins: Iterable[str]) -> Callable[[], Response | None]:
    """What answers a browser that asks before it calls; None for everything else, and for other origins."""
    allowed = frozenset(origins)

    def answer() -> Response | None:
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or request.headers.get("Origin") not in allowed:
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = _SENT
        response.headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
        return response

    return answer


def show_to_origins(origins: Iterable[str]) -> Callable[[Response], Response]:
    """Lets pages of these origins read an answer."""
    allowed = frozenset(origins)

    def show(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _SHOWN
        return response

    return show
