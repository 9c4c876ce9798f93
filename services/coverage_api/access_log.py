"""The access log: a line for each answered call, put into words by the thread that writes it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

import orjson

from services.coverage_api.log_lines import LogLines
from services.coverage_api.logs import CALL_ANSWERED
from shared.ports import Clock

AccessLog = Callable[[str, str, int, float, str, str | None], None]


def access_log(lines: LogLines, level: str, clock: Clock) -> AccessLog:
    """What notes a call: method, route, status, seconds that it took, request id, name of its client.

    Nothing is noted if the log is of a `level`, as logging names it, above INFO.
    """
    if logging.getLevelNamesMapping()[level.upper()] > logging.INFO:
        return lambda *_call: None

    def note(
        method: str, route: str, status: int, seconds: float, request_id: str, client: str | None
    ) -> None:
        lines.write_later(partial(_line, method, route, status, seconds, request_id, client, clock()))

    return note


def _line(
    method: str,
    route: str,
    status: int,
    seconds: float,
    request_id: str,
    client: str | None,
    at: datetime,
) -> bytes:
    """As structlog writes the other lines (`shared/adapters/logs.py`)."""
    fields = {
        "method": method,
        "route": route,
        "status": status,
        "milliseconds": round(seconds * 1000, 2),
        "request_id": request_id,
        "client": client,
        "event": CALL_ANSWERED,
        "level": "info",
        "timestamp": at,
    }
    return orjson.dumps(fields, option=orjson.OPT_UTC_Z) + b"\n"
