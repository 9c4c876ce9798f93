"""Sends a file of visit events (NDJSON: one a line) to the API and says which lines it refused.

Safe to stop and to start again from the first line: an event that the API has already is answered as
a repeat and counts once (contract I2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from services.operator_cli.api_client import Caller
from services.operator_cli.errors import OperatorError

BULK_PATH = "/v1/visit-events/bulk"
NDJSON = {"Content-Type": "application/x-ndjson"}
# A file goes in sections: what is sent at once, sent again if the API is busy, and told of as progress.
SECTION_LINES_MAX = 5_000
SECTION_BYTES_MAX = 8 * 1024 * 1024
# The API refuses a longer line, of which therefore no more than this needs to be sent.
LINE_BYTES_MAX = 256 * 1024


class LoadStopped(OperatorError):
    """The API refused to go on; what was sent before stays sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A line, by its number from 1, that was not accepted, and why."""

    line: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What became of the lines so far: accepted for the first time, known before, refused."""

    accepted: int = 0
    replayed: int = 0
    rejected: int = 0

    def plus(self, answer: dict[str, Any]) -> LoadReport:
        """This and what the API says of a section."""
        return LoadReport(
            accepted=self.accepted + int(answer["accepted"]),
            replayed=self.replayed + int(answer["replayed"]),
            rejected=self.rejected + int(answer["rejected"]),
        )


def load_visits(
    stream: IO[bytes],
    caller: Caller,
    *,
    on_reject: Callable[[Reject], None],
    on_progress: Callable[[LoadReport], None],
) -> LoadReport:
    """Send every event of a stream; memory stays bounded whatever its length.

    Raises LoadStopped if the API refuses a section, ApiUnreachableError if it does not answer.
    """
    report, lines_before = LoadReport(), 0
    for section in _sections(_bounded_lines(stream)):
        answer = caller.call("ehr", "POST", BULK_PATH, b"".join(section), NDJSON)
        if answer.status != 200:
            said = answer.body.get("detail") or answer.body.get("title")
            raise LoadStopped(
                f"Stopped after line {lines_before}: {answer.status} {said} Send the file again to go on."
            )
        for item in answer.body["rejected_lines"]:
            on_reject(Reject(line=lines_before + item["line"], why=_why(item["problem"])))
        for line in answer.body.get("further_rejected_lines", []):
            on_reject(Reject(line=lines_before + line, why="one of too many to say why"))
        report = report.plus(answer.body)
        on_progress(report)
        lines_before += len(section)
    return report


def _bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Each line with its end; of one that is too long, enough for the API to see that."""
    while text := stream.readline(LINE_BYTES_MAX + 1):
        rest = text
        while len(rest) > LINE_BYTES_MAX and not rest.endswith(b"\n"):
            rest = stream.readline(LINE_BYTES_MAX + 1)
        yield text if text.endswith(b"\n") else text + b"\n"


def _sections(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    section: list[bytes] = []
    size = 0
    for line in lines:
        section.append(line)
        size += len(line)
        if len(section) == SECTION_LINES_MAX or size >= SECTION_BYTES_MAX:
            yield section
            section, size = [], 0
    if section:
        yield section


def _why(problem: dict[str, Any]) -> str:
    """A problem document in one line."""
    faults = [f"{fault['pointer'] or '/'} {fault['message']}" for fault in problem.get("errors", [])]
    what = " ".join(faults) or problem.get("detail") or problem["title"]
    return f"{problem['status']} {what}"
