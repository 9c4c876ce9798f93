"""Reads a request's body: bounded, of the right type, and well-formed JSON."""

from __future__ import annotations

import functools
import json
import time
from typing import IO, Any

import orjson
from flask import Request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.http import parse_options_header

from services.coverage_api.errors import BodyTooLarge, MalformedBody, TooBusy, UnsupportedMediaType

#: Where a body that was read is kept: what is read is gone from its stream.
BODY_VARIABLE = "needlecap.body"

READ_BYTES = 64 * 1024
DISCARD_BYTES_MAX = 64 * 1024 * 1024
DISCARD_SECONDS_MAX = 10.0


def require_type(request: Request, media_type: str) -> None:
    """Raises UnsupportedMediaType unless the body is plain UTF-8 of `media_type`."""
    if not _is_of_type(request.environ.get("CONTENT_TYPE", ""), media_type):
        raise UnsupportedMediaType(f"The body must be {media_type} in UTF-8.")
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("The body must not be compressed.")


@functools.lru_cache(maxsize=100)
def _is_of_type(content_type: str, media_type: str) -> bool:
    """Whether a Content-Type header says so (RFC 9110 section 8.3.1)."""
    given, parameters = parse_options_header(content_type)
    return given.lower() == media_type and parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8"}


def read_body(request: Request, bytes_max: int) -> bytes:
    """The whole body, also when it is asked for again.

    Raises BodyTooLarge without reading more than `bytes_max` of it, and MalformedBody if it breaks off.
    """
    known: bytes | None = request.environ.get(BODY_VARIABLE)
    if known is not None:
        return known
    said = request.environ.get("CONTENT_LENGTH", "")
    if said.isdecimal() and int(said) > bytes_max:
        raise BodyTooLarge(f"The body may have at most {bytes_max} bytes.")
    try:
        body: bytes = _stream(request).read(bytes_max + 1)
    except RequestEntityTooLarge as error:
        raise BodyTooLarge(f"The body may have at most {bytes_max} bytes.") from error
    except (ClientDisconnected, OSError) as error:
        raise MalformedBody("The body ended before it was whole.") from error
    if len(body) > bytes_max:
        raise BodyTooLarge(f"The body may have at most {bytes_max} bytes.")
    request.environ[BODY_VARIABLE] = body
    return body


def _stream(request: Request) -> IO[bytes]:
    """The body as the server hands it out, if that ends it itself: werkzeug would find out as much."""
    stream: IO[bytes] = (
        request.environ["wsgi.input"] if request.environ.get("wsgi.input_terminated") else request.stream
    )
    return stream


def discard_rest(request: Request) -> None:
    """Read on without keeping anything, so that a caller still sending hears the answer.

    A connection that is closed on a sender breaks before many clients look for an answer. What goes
    on beyond the bounds is not worth that.
    """
    deadline = time.monotonic() + DISCARD_SECONDS_MAX
    left = DISCARD_BYTES_MAX
    try:
        while left > 0 and time.monotonic() < deadline:
            read = len(request.stream.read(READ_BYTES))
            if read == 0:
                return
            left -= read
    except (ClientDisconnected, RequestEntityTooLarge, OSError, TooBusy):
        return


def parse_json(body: bytes, what: str = "body") -> Any:
    """The value of a JSON text. Raises MalformedBody; NaN, Infinity and repeated names are refused too.

    `what` is what the text is called in the refusal.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Where, never what: the text itself may name a member.
        place = f"line {error.lineno}, column {error.colno}" if b"\n" in body else f"column {error.colno}"
        raise MalformedBody(f"The {what} is not well-formed JSON; reading ended at {place}.") from error
    try:
        suspicious = _may_repeat_names(body, value)
    except TypeError as error:  # how orjson says that a value nests too deeply to be written
        raise MalformedBody(f"The {what} is nested too deeply.") from error
    if suspicious:
        _refuse_repeated_names(body, what)
    return value


def _may_repeat_names(body: bytes, value: Any) -> bool:
    """False when it is certain that no object of the text repeats a name.

    Of a repeated name the parser keeps the last, so writing the value again gives fewer colons than
    were read. An escaped colon would hide one, so a text with such an escape is looked at closely.
    """
    return b"\\u003" in body or body.count(b":") != orjson.dumps(value).count(b":")


def _refuse_repeated_names(body: bytes, what: str) -> None:
    def checked(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            raise MalformedBody(f"An object of the {what} repeats a name.")

    try:
        json.loads(body, object_pairs_hook=checked)
    except RecursionError as error:
        raise MalformedBody(f"The {what} is nested too deeply.") from error
