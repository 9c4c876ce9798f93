"""Sends a file of visit events (NDJSON: one a line) to the API, in batches, and says what was refused.

Safe to stop and to start again from the first line: an event that the API has already is answered as
a repeat and counts once (contract I2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

import orjson

from services.operator_cli.api_client import Caller
from services.operator_cli.errors import OperatorError

BATCH_PATH = "/v1/visit-events/batch"
EVENTS_MAX = 1_000
# Half of what the API takes, so that neither its envelope nor one long line makes a batch too large.
BATCH_BYTES_MAX = 2 * 1024 * 1024
LINE_BYTES_MAX = 256 * 1024
# Refusals of a whole batch for something in one of its events.
BROKEN = frozenset({400, 413, 422})


class LoadStopped(OperatorError):
    """The API refused to go on; what was sent before stays sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """A line that is JSON, with its number (from 1)."""

    number: int
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A line that was not accepted, and why; nothing of what the line says is repeated."""

    number: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What became of the lines so far: accepted for the first time, known before, refused."""

    accepted: int = 0
    replayed: int = 0
    rejected: int = 0

    @property
    def lines(self) -> int:
        """How many lines have been dealt with, not counting empty ones."""
        return self.accepted + self.replayed + self.rejected


def load_visits(
    stream: IO[bytes],
    caller: Caller,
    *,
    on_reject: Callable[[Reject], None],
    on_progress: Callable[[LoadReport], None],
    events_max: int = EVENTS_MAX,
) -> LoadReport:
    """Send every event of a stream; memory stays bounded whatever its length.

    Raises LoadStopped if the API refuses the caller, ApiUnreachableError if it does not answer.
    """
    assert 0 < events_max <= EVENTS_MAX, "the API takes no more at once"
    report = LoadReport()
    for batch in _batches(read_lines(stream), events_max):
        events = [line for line in batch if isinstance(line, EventLine)]
        outcomes = dict(zip((line.number for line in events), _send(caller, events), strict=True))
        for line in batch:
            outcome = line.why if isinstance(line, Reject) else outcomes[line.number]
            if isinstance(outcome, str):
                on_reject(Reject(number=line.number, why=outcome))
                report = replace(report, rejected=report.rejected + 1)
            elif outcome:
                report = replace(report, replayed=report.replayed + 1)
            else:
                report = replace(report, accepted=report.accepted + 1)
        on_progress(report)
    return report


def read_lines(stream: IO[bytes]) -> Iterator[EventLine | Reject]:
    """The lines of a stream that are not empty; one that is too long or no JSON comes as a Reject."""
    for number, text in enumerate(_bounded_lines(stream), start=1):
        if len(text) > LINE_BYTES_MAX:
            yield Reject(number=number, why=f"longer than {LINE_BYTES_MAX} bytes")
        elif text.strip():
            try:
                orjson.loads(text)
            except orjson.JSONDecodeError:
                yield Reject(number=number, why="not JSON")
            else:
                yield EventLine(number=number, text=text.strip())


def _bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Each line, of which no more than one byte beyond the bound is kept."""
    while text := stream.readline(LINE_BYTES_MAX + 1):
        part = text
        while len(part) > LINE_BYTES_MAX and not part.endswith(b"\n"):
            part = stream.readline(LINE_BYTES_MAX + 1)
        yield text


def _batches(lines: Iterable[EventLine | Reject], events_max: int) -> Iterator[list[EventLine | Reject]]:
    batch: list[EventLine | Reject] = []
    size = 0
    for line in lines:
        length = len(line.text) if isinstance(line, EventLine) else 0
        if batch and (len(batch) == events_max or size + length > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield batch


def _send(caller: Caller, events: list[EventLine]) -> list[str | bool]:
    """For each event why it was refused, or whether it was known before.

    A batch refused as a whole for something in one of its events (a repeated name, say) is halved
    until the line at fault is alone.
    """
    if not events:
        return []
    body = b'{"events":[' + b",".join(line.text for line in events) + b"]}"
    answer = caller.call("ehr", "POST", BATCH_PATH, body)
    if answer.status == 200:
        results = answer.body["results"]
        assert len(results) == len(events), "one result for each event"
        return [_outcome(result) for result in results]
    why = _why(answer.body)
    if answer.status not in BROKEN:
        raise LoadStopped(f"Stopped before line {events[0].number}: {why}. Run it again to go on.")
    if len(events) == 1:
        return [why]
    middle = len(events) // 2
    return _send(caller, events[:middle]) + _send(caller, events[middle:])


def _outcome(result: dict[str, Any]) -> str | bool:
    if result["status"] == 202:
        return bool(result.get("replayed", False))
    return _why(result["problem"])


def _why(problem: dict[str, Any]) -> str:
    """A problem document in one line."""
    faults = [f"{fault['pointer'] or '/'} {fault['message']}" for fault in problem.get("errors", [])]
    what = "; ".join(faults) or problem.get("detail") or problem.get("title", "")
    return f"{problem.get('status', '')} {what}".strip().rstrip(".")
