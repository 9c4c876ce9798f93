"""The first start of `needlecap run`: sample members, the tour, and both again without harm."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.operator_cli.samples import VISITS_PATH
from tests.running import STOP_SECONDS_MAX, Running
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

#: Of some sample members, on a date: how many services of the year are used, and of how many.
COUNTS = {
    ("SAMPLE-0001", "2026-12-31"): (20, 20),
    ("SAMPLE-0002", "2026-12-31"): (20, 20),
    ("SAMPLE-0003", "2026-12-31"): (19, 20),
    ("SAMPLE-0008", "2026-12-31"): (13, 20),
    ("SAMPLE-0011", "2026-12-31"): (20, 20),
    ("SAMPLE-0011", "2027-01-01"): (0, 20),
    ("SAMPLE-0012", "2026-06-30"): (14, 20),
    ("SAMPLE-0012", "2026-07-01"): (12, 20),
}
LINES = len(VISITS_PATH.read_text().splitlines())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A runner on a new data directory, ready."""
    started = Running(tmp_path / "data", "--port", "0")
    yield started.wait_ready()
    if started.process.poll() is None:
        left = started.descendants()
        started.process.kill()
        started.process.wait()
        psutil.wait_procs(left, timeout=STOP_SECONDS_MAX)


def _counts(running: Running) -> dict[tuple[str, str], tuple[int, int]]:
    return {(member, on): _count(running, member, on) for member, on in COUNTS}


def _count(running: Running, member: str, on: str) -> tuple[int, int]:
    keys = json.loads((running.data_dir / "dev-credentials.json").read_text())
    body = {"payer_id": "security-health-plan", "member_id": member, "service_date": on}
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}/v1/accumulators/search",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {keys['portal']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())["accumulators"][0]
    return found["used"], found["allowed"]


def test_first_start_shows_the_main_job_and_a_second_repeats_nothing(running: Running) -> None:
    """One command loads the samples and plays the tour; the counts stay through a stop and a start."""
    assert f"visit events: {LINES} accepted, 0 known before, 0 refused" in running.stderr
    assert running.stderr.count("The tour is over: all 20 answers are right.") == 1
    assert '"code": "limit_exhausted"' in running.stderr
    wait_for(lambda: _counts(running) == COUNTS)
    assert running.stop() == 0

    again = Running(running.data_dir, "--port", "0").wait_ready()
    try:
        assert "The tour is over" not in again.stderr
        assert "sample members" not in again.stderr
        assert _counts(again) == COUNTS
        assert f"0 accepted, {LINES} known before, 0 refused" in again.needlecap("load", "samples")
        assert "all 20 answers are right" in again.needlecap("tour")
        assert _counts(again) == COUNTS
    finally:
        assert again.stop() == 0
