"""Loading a file of visit events: sections, line numbers, refusals."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest

from services.operator_cli.api_client import ApiAnswer
from services.operator_cli.visit_loading import (
    LINE_BYTES_MAX,
    SECTION_LINES_MAX,
    LoadReport,
    LoadStopped,
    Reject,
    load_visits,
)


class BulkService:
    """Takes sections as the API does: refuses lines that hold `bad`, and knows those it has seen."""

    def __init__(self, *, sections_max: int = 1_000) -> None:
        self.sections: list[list[bytes]] = []
        self._seen: set[bytes] = set()
        self._sections_max = sections_max

    def call(
        self, role: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> ApiAnswer:
        """See Caller."""
        assert (role, method, path) == ("ehr", "POST", "/v1/visit-events/bulk")
        assert headers == {"Content-Type": "application/x-ndjson"}
        if len(self.sections) == self._sections_max:
            problem = {"status": 503, "title": "No answer", "detail": "It stopped."}
            return ApiAnswer(status=503, headers={}, body=problem)
        lines = body.splitlines()
        self.sections.append(lines)
        problem = {"status": 422, "title": "Invalid", "errors": [{"pointer": "/payer_id", "message": "No."}]}
        bad = [number for number, line in enumerate(lines, start=1) if b"bad" in line]
        good = [line for line in lines if line and b"bad" not in line]
        known = sum(line in self._seen for line in good)
        self._seen.update(good)
        rejected = [{"line": number, "problem": problem} for number in bad]
        counts = {"accepted": len(good) - known, "replayed": known, "rejected": len(bad)}
        return ApiAnswer(status=200, headers={}, body={**counts, "rejected_lines": rejected})


def _load(content: bytes, service: BulkService) -> tuple[LoadReport, list[Reject], list[LoadReport]]:
    rejects: list[Reject] = []
    progress: list[LoadReport] = []
    report = load_visits(io.BytesIO(content), service, on_reject=rejects.append, on_progress=progress.append)
    return report, rejects, progress


def test_refused_lines_are_named_by_their_number_in_the_file() -> None:
    """Numbers run through all sections and count empty lines, as an editor does."""
    lines = [b"line %d" % number for number in range(1, SECTION_LINES_MAX + 11)]
    lines[1] = b""
    lines[2] = lines[SECTION_LINES_MAX + 4] = b"bad"
    service = BulkService()
    report, rejects, progress = _load(b"\n".join(lines), service)
    assert report == LoadReport(accepted=SECTION_LINES_MAX + 7, replayed=0, rejected=2)
    assert [reject.line for reject in rejects] == [3, SECTION_LINES_MAX + 5]
    assert rejects[0].why == "422 /payer_id No."
    assert len(service.sections) == len(progress) == 2


def test_sending_again_finds_what_was_sent() -> None:
    """A second time, all lines are known and none counts twice."""
    service = BulkService()
    _load(b"a\nb\n", service)
    report, _, _ = _load(b"a\nb\nc\n", service)
    assert report == LoadReport(accepted=1, replayed=2, rejected=0)


def test_broken_off_load_says_how_far_it_came_and_can_go_on() -> None:
    """When the API gives up, the lines before are said to be in, and sending again completes the file."""
    lines = b"\n".join(b"line %d" % number for number in range(SECTION_LINES_MAX + 5))
    service = BulkService(sections_max=1)
    with pytest.raises(LoadStopped, match=rf"Stopped after line {SECTION_LINES_MAX}: 503 It stopped\."):
        _load(lines, service)
    again = BulkService()
    again._seen = service._seen
    report, _, _ = _load(lines, again)
    assert report == LoadReport(accepted=5, replayed=SECTION_LINES_MAX, rejected=0)


def test_endless_line_is_cut_and_the_next_keeps_its_number() -> None:
    """Of a line too long for the API only so much is sent that it can be refused."""
    service = BulkService()
    _, rejects, _ = _load(b"x" * (5 * LINE_BYTES_MAX) + b"\nbad\nlast", service)
    (section,) = service.sections
    assert [len(line) for line in section] == [LINE_BYTES_MAX + 1, 3, 4]
    assert [reject.line for reject in rejects] == [2]


def test_empty_file_sends_nothing() -> None:
    """Nothing to send is no failure."""
    service = BulkService()
    assert _load(b"", service)[0] == LoadReport()
    assert service.sections == []
