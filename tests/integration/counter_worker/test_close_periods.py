"""The turn of a plan year: the new one answers at once, the old one is reported, and late visits count."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, cast

import pytest

from services.counter_worker.ports import Tools, WorkerTransaction
from services.counter_worker.usecases.close_periods import close_ended_periods
from services.counter_worker.usecases.sweep import sweep
from shared.accounting.check import read_counters, search
from shared.accounting.period_turn import period_standings
from shared.domain.period_report import PeriodReport
from shared.domain.records import MemberRef
from tests.builders import PAYER
from tests.offices import MakeTools, Office

LAST_DAY, FIRST_DAY = "2025-12-31", "2026-01-01"
#: Noon of January 1 in UTC: nowhere on earth it is December 31 any more.
TURNED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStore:
    """The database, whose clock shows a given time."""

    store: Any
    now: datetime

    def transaction(self, payers: Any, *, seconds: float | None = None) -> Any:
        """A transaction at that time."""
        return _At(self.store.transaction(payers, seconds=seconds), self.now)


class _At:
    def __init__(self, transaction: Any, now: datetime) -> None:
        self._transaction, self._now = transaction, now

    def __enter__(self) -> WorkerTransaction:
        tx = self._transaction.__enter__()
        # `jobs` is made once for each transaction and kept in it.
        tx.jobs.now = lambda: self._now
        return cast("WorkerTransaction", tx)

    def __exit__(self, *error: object) -> Any:
        return self._transaction.__exit__(*error)


def at(tools: Tools, now: datetime) -> Tools:
    """The worker at another time."""
    return replace(tools, store=ClockStore(store=tools.store, now=now))


def reports(tools: Tools) -> list[PeriodReport]:
    """Every report, oldest first."""
    with tools.store.transaction([PAYER]) as tx:
        return [one for made in tx.periods.reported(PAYER).values() for one in made]


def statuses(tools: Tools, now: datetime = TURNED_AT) -> dict[date, str]:
    """How each period stands, by the first date after it."""
    with tools.store.transaction([PAYER]) as tx:
        return {one.name.end: one.status for one in period_standings(tx, PAYER, now)}


def used(tools: Tools, ref: MemberRef, on: str) -> tuple[int, int]:
    """(used, remaining) of the member's one limit on a date, as a check finds it."""
    images = read_counters(tools.counters, [ref])
    with tools.store.transaction([ref.payer_id]) as tx:
        [standing] = search(tx, tools.rules, images, ref, date.fromisoformat(on))
    assert standing.remaining is not None
    return standing.used, standing.remaining


@pytest.fixture
def ref(office: Office, tools: Tools) -> MemberRef:
    """A member who has used up the year that ends, and two who have not."""
    made, *others = office.enroll(3)
    office.accept([made], visits=21, on=LAST_DAY)
    office.accept(others, visits=2, on=LAST_DAY)
    sweep(tools)
    return made


def test_new_year_answers_on_its_first_day_without_any_job(tools: Tools, ref: MemberRef) -> None:
    """December is used up, January is not, and nothing had to run for that."""
    assert used(tools, ref, LAST_DAY) == (20, 0)
    assert used(tools, ref, FIRST_DAY) == (0, 20)
    assert reports(tools) == []


def test_year_is_closed_once_it_is_over_everywhere(tools: Tools, ref: MemberRef) -> None:
    """West of Greenwich the last day is not over at midnight; then its sums are reported, once."""
    assert close_ended_periods(at(tools, datetime(2026, 1, 1, 11, 59, tzinfo=UTC))) == 0
    assert statuses(tools, datetime(2026, 1, 1, 11, 59, tzinfo=UTC)) == {date(2026, 1, 1): "open"}
    assert statuses(tools) == {date(2026, 1, 1): "due"}
    turned = at(tools, TURNED_AT)
    assert close_ended_periods(turned) == 1
    assert close_ended_periods(turned) == 0
    [report] = reports(tools)
    assert report.name.end == date(2026, 1, 1)
    counts = report.counts
    assert (counts.members, counts.used, counts.held, counts.members_full) == (3, 24, 0, 1)
    assert statuses(tools) == {date(2026, 1, 1): "closed"}
    with tools.totals.taken() as done:
        assert done["periods_closed"] == 1


def test_late_visit_counts_to_its_year_and_amends_the_report(
    office: Office, tools: Tools, ref: MemberRef
) -> None:
    """A visit of the old year is counted after the close; the first report stays on record."""
    turned = at(tools, TURNED_AT)
    close_ended_periods(turned)
    [late] = office.enroll()
    office.accept([late], on=LAST_DAY)
    office.accept([late], on=FIRST_DAY)
    sweep(tools)
    assert (used(tools, late, LAST_DAY), used(tools, late, FIRST_DAY)) == ((1, 19), (1, 19))
    assert statuses(tools) == {date(2026, 1, 1): "changed", date(2027, 1, 1): "open"}
    assert close_ended_periods(turned) == 1
    assert [(one.number, one.counts.used) for one in reports(tools)] == [(1, 24), (2, 25)]
    assert statuses(tools)[date(2026, 1, 1)] == "amended"
    assert close_ended_periods(turned) == 0
    with tools.totals.taken() as done:
        assert done["periods_amended"] == 1


def test_visit_over_the_limit_amends_nothing(office: Office, tools: Tools, ref: MemberRef) -> None:
    """What moves no unit changes no report."""
    close_ended_periods(at(tools, TURNED_AT))
    office.accept([ref], on=LAST_DAY)
    sweep(tools)
    assert close_ended_periods(at(tools, TURNED_AT)) == 0
    assert statuses(tools) == {date(2026, 1, 1): "closed"}


def test_closing_changes_no_count_and_no_answer(office: Office, tools: Tools, ref: MemberRef) -> None:
    """Accumulators, ledger and counters are what they were."""
    query = "select * from accumulator order by member_id"
    before = office.rows(query), office.rows("select count(*) from ledger_entry")
    close_ended_periods(at(tools, TURNED_AT))
    assert (office.rows(query), office.rows("select count(*) from ledger_entry")) == before
    assert used(tools, ref, LAST_DAY) == (20, 0)


def test_several_workers_close_a_year_once(make_tools: MakeTools, ref: MemberRef) -> None:
    """Whoever comes second finds it done, or leaves it to the one who is at it."""
    workers = [at(make_tools(), TURNED_AT) for _ in range(4)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        assert sum(pool.map(close_ended_periods, workers)) == 1
    assert len(reports(make_tools())) == 1
