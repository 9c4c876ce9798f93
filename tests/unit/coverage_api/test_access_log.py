"""The access log's lines are those that the log itself would write, later."""

from __future__ import annotations

import io

import orjson

from services.coverage_api.access_log import access_log
from services.coverage_api.log_lines import LogLines
from tests.builders import NOW


def noted(level: str) -> bytes:
    """What is written of one call."""
    out = io.BytesIO()
    lines = LogLines(out, gather_seconds=60)
    access_log(lines, level, lambda: NOW)("POST", "/v1/holds", 201, 0.0123456, "r1", None)
    lines.write(b"next\n")
    lines.close()
    return out.getvalue()


def test_call_is_a_line_in_its_place() -> None:
    """With the fields of every line, and the time when it was answered."""
    line, following, _ = noted("info").split(b"\n")
    assert following == b"next"
    assert orjson.loads(line) == {
        "method": "POST",
        "route": "/v1/holds",
        "status": 201,
        "milliseconds": 12.35,
        "request_id": "r1",
        "client": None,
        "event": "call_answered",
        "level": "info",
        "timestamp": "2026-03-04T15:04:05Z",
    }


def test_log_of_warnings_has_no_calls() -> None:
    """As with every other line of that level."""
    assert noted("WARNING") == b"next\n"
