"""Holds end when their time is over, whoever asks and however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from services.counter_worker.ports import Tools
from services.counter_worker.usecases.expire_holds import BATCH_MAX, expire_holds
from shared.accounting.holds import place_hold
from shared.domain.records import MemberRef
from tests.builders import hold_request
from tests.offices import MakeTools, Office


def hold(tools: Tools, ref: MemberRef, expires_at: datetime) -> None:
    """Promise the member one unit until then."""
    request = hold_request(f"hld_{ref.member_id}", ref, "2026-03-04", expires_at=expires_at)
    with tools.store.transaction(("*",)) as tx:
        place_hold(tx, tools.rules, datetime.now(UTC), request)
        tx.commit()


def states(office: Office) -> list[str]:
    """The states of all holds."""
    return [state for (state,) in office.rows("select state from hold order by hold_id")]


def test_hold_whose_time_is_over_gives_its_unit_back(office: Office, tools: Tools) -> None:
    """The hold is expired, nothing is held any more, and the counter shows it."""
    [ref] = office.enroll()
    hold(tools, ref, datetime.now(UTC) - timedelta(seconds=1))
    assert office.rows("select held from accumulator") == [(1,)]
    assert expire_holds(tools) == 1
    assert states(office) == ["expired"]
    assert office.rows("select held from accumulator") == [(0,)]
    shown = tools.counters.read([ref])[ref]
    assert shown.version == 2
    assert sum(one.state.held for one in shown.accumulators) == 0


def test_hold_whose_time_is_to_come_is_kept(office: Office, tools: Tools) -> None:
    """Nothing ends before its time."""
    [ref] = office.enroll()
    hold(tools, ref, datetime.now(UTC) + timedelta(hours=1))
    assert expire_holds(tools) == 0
    assert states(office) == ["pending"]


def test_time_is_the_databases(office: Office, make_tools: MakeTools) -> None:
    """A worker whose own clock is wrong expires nothing too soon."""
    [ref] = office.enroll()
    fast = make_tools(clock=lambda: datetime.now(UTC) + timedelta(days=1))
    hold(fast, ref, datetime.now(UTC) + timedelta(hours=1))
    assert expire_holds(fast) == 0


def test_many_holds_expire_in_one_run_once_however_many_workers(
    office: Office, make_tools: MakeTools
) -> None:
    """More than a batch are ended in one run, each once, with two workers at it."""
    refs = office.enroll(BATCH_MAX + 10)
    tools = make_tools()
    for ref in refs:
        hold(tools, ref, datetime.now(UTC) - timedelta(seconds=1))
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(expire_holds, make_tools()) for _ in range(2)]
        ended = sum(run.result() for run in runs) + expire_holds(tools)
    assert ended == len(refs)
    assert set(states(office)) == {"expired"}
    assert office.rows("select sum(held) from accumulator") == [(0,)]


def test_hold_that_cannot_be_ended_keeps_no_other_waiting(office: Office, tools: Tools) -> None:
    """One member's hold is unreadable: the others end, the failure is told, and it is tried again."""
    refs = office.enroll(3)
    for number, ref in enumerate(refs):
        hold(tools, ref, datetime.now(UTC) - timedelta(seconds=10 - number))
    with psycopg.connect(office.url) as connection:
        connection.execute("update hold set content = '{}' where member_id = %s", [refs[0].member_id])
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            expire_holds(tools)
    assert states(office) == ["pending", "expired", "expired"]
