"""The worker is healthy if its work is done, not if its process runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from services.counter_worker.ports import Tools
from services.counter_worker.usecases.judge_health import judge_beat, judge_health
from services.counter_worker.usecases.sweep import sweep
from shared.adapters.postgres.database import PostgresDatabase
from tests.counter_images import HASH_KEY
from tests.offices import Office

LIMIT = 30.0


def _only(faults: Sequence[str], pattern: str) -> bool:
    """Whether there is this one fault; on a busy machine a second or two may have passed meanwhile."""
    [fault] = faults
    return re.fullmatch(pattern, fault) is not None


def test_worker_that_swept_and_left_nothing_is_healthy(office: Office, tools: Tools) -> None:
    """Everything applied and a sweep just now: nothing is wrong."""
    office.accept(office.enroll())
    sweep(tools, from_beat=True)
    assert judge_health(tools.store, LIMIT) == []
    assert judge_beat(tools.store, LIMIT) == []


def test_worker_that_never_swept_is_not_healthy(tools: Tools) -> None:
    """A worker that has not begun yet is not healthy yet."""
    assert judge_health(tools.store, LIMIT) == ["there was no sweep yet"]
    assert judge_beat(tools.store, LIMIT) == ["there was no sweep that beat asked for yet"]


def test_event_that_waits_too_long_is_a_fault(office: Office, tools: Tools) -> None:
    """Sweeping without getting anything done is no health."""
    sweep(tools)
    office.accept(office.enroll())
    assert judge_health(tools.store, LIMIT) == []
    office.change("update visit_event_waiting set received_at = received_at - interval '40 seconds'")
    assert _only(judge_health(tools.store, LIMIT), "an event has been waiting for 4[0-9] seconds")


def test_event_that_is_not_due_is_no_fault(office: Office, tools: Tools) -> None:
    """An event that failed and waits for its next attempt is not the worker's fault."""
    sweep(tools)
    office.accept(office.enroll())
    office.change(
        "update visit_event_waiting set received_at = received_at - interval '1 hour',"
        " retry_at = now() + interval '1 hour'"
    )
    assert judge_health(tools.store, LIMIT) == []


def test_old_sweep_is_a_fault(office: Office, tools: Tools) -> None:
    """A worker that stopped sweeping is ill, though nothing waits; beat is judged by its own sweeps."""
    sweep(tools, from_beat=True)
    office.change("update worker_job set last_run_at = last_run_at - interval '40 seconds'")
    sweep(tools)
    assert judge_health(tools.store, LIMIT) == []
    assert _only(judge_beat(tools.store, LIMIT), "the last sweep that beat asked for was 4[0-9] seconds ago")
    office.change("update worker_job set last_run_at = last_run_at - interval '40 seconds'")
    assert _only(judge_health(tools.store, LIMIT), "the last sweep was 4[0-9] seconds ago")


def test_unreachable_postgres_is_a_fault() -> None:
    """A worker that cannot reach Postgres is not healthy."""
    nowhere = PostgresDatabase("postgresql://nobody@127.0.0.1:1/none", connections_max=1, wait_seconds=0.2)
    assert judge_health(nowhere, LIMIT) == ["Postgres does not answer"]
    nowhere.close()


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--beat"], 1)])
def test_command_answers_with_its_exit_code(
    office: Office, tools: Tools, redis_url: str, options: list[str], code: int
) -> None:
    """What a container's health check runs says yes or no, and why not."""
    sweep(tools)
    environment = {
        **os.environ,
        "DATABASE_URL": office.url,
        "REDIS_URL": redis_url,
        "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
    }
    checked = subprocess.run(
        [sys.executable, "-m", "services.counter_worker.health", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert checked.returncode == code
    assert ("faults" in checked.stdout) is bool(code)
