"""Log lines: JSON with a constant event name and fields, never anything about a person (I8)."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict

#: What a library had to say: its logger's name and its message.
LIBRARY_MESSAGE = "library_message"

_CALLS_MAX = 12
_MESSAGE_MAX = 500


def configure_logs(level: str, out: Any = None) -> None:
    """Write JSON lines of at least `level` to `out` (standard output), those of libraries too.

    Done once, by a composition root. `level` is one of logging's names, in any case.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(out or sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=number, handlers=[LibraryHandler()], force=True)
    logging.captureWarnings(capture=True)


def described(error: BaseException) -> dict[str, Any]:
    """An exception as fields of a log line: its kind and where it came from.

    Without its text, which may quote data: a driver's error shows the row that it is about.
    """
    return {"kind": type(error).__name__, "raised_at": call_site(error)}


def call_site(error: BaseException) -> list[str]:
    """Where an exception was raised, outermost call first, as `module:line`; no values, no text."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}")
        trace = trace.tb_next
    return frames[-_CALLS_MAX:]


class LibraryHandler(logging.Handler):
    """Passes what libraries log on to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message's first line; of an exception its kind and origin, not its text."""
        message = record.getMessage().strip().partition("\n")[0][:_MESSAGE_MAX]
        fields: dict[str, Any] = {"logger": record.name, "message": message}
        if record.exc_info and record.exc_info[1] is not None:
            fields.update(described(record.exc_info[1]))
        log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
        log.log(record.levelno, LIBRARY_MESSAGE, **fields)


def _to_json(event: EventDict, **_options: Any) -> bytes:
    return orjson.dumps(event, default=str)
