"""What benefit periods come to, summed over members, and what was reported of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any

import psycopg

from shared.domain.benefit_period import UNBOUNDED_END
from shared.domain.period_report import PeriodCounts, PeriodName, PeriodReport


class PostgresPeriodReports:
    """Periods in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def payers(self) -> list[str]:
        """The payers that the transaction may see."""
        rows = self._connection.execute("select payer_id from payer order by payer_id")
        return [payer_id for (payer_id,) in rows]

    def counts(self, payer_id: str, *, end_max: date | None) -> dict[PeriodName, PeriodCounts]:
        """What the payer's periods that end until `end_max` (None: all that end) come to.

        Periods in which nothing was ever counted are absent. Reads all of the payer's accumulators.
        """
        # Each ledger entry raises its accumulator's version by one.
        rows = self._connection.execute(
            """
            select plan_id, limit_id, basis, period_end, count(*) filter (where used > 0 or held > 0),
                   sum(used)::bigint, sum(held)::bigint,
                   count(*) filter (where in_use and used + held >= allowed), sum(version)::bigint
              from accumulator
             where payer_id = %(payer)s and period_end < %(never)s
               and (%(end_max)s::date is null or period_end <= %(end_max)s)
             group by plan_id, limit_id, basis, period_end
            having sum(version) > 0
            """,
            {"payer": payer_id, "never": UNBOUNDED_END, "end_max": end_max},
        )
        return {_name(payer_id, row): _counts(row[4:]) for row in rows}

    def reported(self, payer_id: str) -> dict[PeriodName, list[PeriodReport]]:
        """Every report of the payer's periods, oldest first."""
        rows = self._connection.execute(
            """
            select plan_id, limit_id, basis, period_end, members, used, held, members_full, entries,
                   report_no, reported_at
              from period_report where payer_id = %s order by report_no
            """,
            [payer_id],
        )
        found: dict[PeriodName, list[PeriodReport]] = defaultdict(list)
        for row in rows:
            name = _name(payer_id, row)
            found[name].append(
                PeriodReport(name=name, number=row[9], reported_at=row[10], counts=_counts(row[4:9]))
            )
        return dict(found)

    def add(self, reports: Sequence[PeriodReport]) -> None:
        """Keep reports; one that is there already stays as it is."""
        with self._connection.cursor() as cursor:
            cursor.executemany(
                """
                insert into period_report (payer_id, plan_id, limit_id, basis, period_end, report_no,
                                           reported_at, members, used, held, members_full, entries)
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing
                """,
                [_values(report) for report in reports],
            )


def _name(payer_id: str, row: Sequence[Any]) -> PeriodName:
    plan_id, limit_id, basis, end = row[:4]
    return PeriodName(payer_id=payer_id, plan_id=plan_id, limit_id=limit_id, basis=basis, end=end)


def _counts(row: Sequence[Any]) -> PeriodCounts:
    members, used, held, members_full, entries = row
    return PeriodCounts(members=members, used=used, held=held, members_full=members_full, entries=entries)


def _values(report: PeriodReport) -> tuple[Any, ...]:
    name, counts = report.name, report.counts
    return (
        *(name.payer_id, name.plan_id, name.limit_id, name.basis, name.end),
        *(report.number, report.reported_at),
        *(counts.members, counts.used, counts.held, counts.members_full, counts.entries),
    )
