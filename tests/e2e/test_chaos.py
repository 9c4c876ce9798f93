"""A short chaos run: `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.chaos.audit import Findings, audit
from tests.chaos.clients import Diary
from tests.chaos.plant import Plant
from tests.chaos.report import lines_of
from tests.chaos.run import Plan, run
from tests.dead_events import CALL_DEAD
from tests.servers import TEST_SETTINGS

PLAN = Plan(
    seed=4,
    seconds=9,
    clients=3,
    members=24,
    pause_seconds=0.05,
    mischief_pauses=(0.4, 1.6),
    operated=False,
    settings=TEST_SETTINGS,
)


def harm(plant: Plant, diaries: list[Diary], members: list[str]) -> None:
    """Do to the database what must never happen to it; the audit has to find each of it."""
    with psycopg.connect(plant.url) as connection:
        connection.execute("alter table accumulator drop constraint accumulator_never_over")
        connection.execute("alter table ledger_entry disable trigger all")
        connection.execute(
            "update accumulator set used = used + 99 where ctid in (select ctid from accumulator"
            " where used > 0 limit 1)"
        )
        connection.execute(
            "update ledger_entry set used_delta = used_delta + 1 where ctid in (select ctid from ledger_entry"
            " where used_delta > 0 and visit_id is not null limit 1)"
        )
        connection.execute(
            CALL_DEAD.format(
                "a.arrival = (select min(arrival) from visit_event_applied where status = 'applied')"
            )
        )
    found = Findings()
    audit(plant, diaries, members, found)
    assert found.overruns == 1
    assert found.double >= 1
    assert found.lost >= 1
    said = "\n".join(found.faults)
    for part in ("accumulators are not", "states are not", "ledger verify", "rebuild --check", "(I7)"):
        assert part in said, said


@pytest.mark.timeout(400)
def test_killed_at_random_under_load_nothing_is_lost_doubled_or_overrun(tmp_path: Path) -> None:
    """Two APIs, two workers, beat, Valkey and PostgreSQL are killed, paused, flushed and cut: all is exact.

    And the audit that says so finds what is wrong where something is.
    """
    said: list[str] = []
    outcome = run(PLAN, tmp_path, said.append, afterwards=harm)
    report = lines_of(outcome)
    assert outcome.is_right, "\n".join(report)
    assert report[-1] == "0 lost, 0 double, 0 overruns"
    assert outcome.sent == outcome.acknowledged > 20
    assert outcome.mischief.total() >= 3
    assert outcome.recoveries >= 1
    assert outcome.samples >= 3
