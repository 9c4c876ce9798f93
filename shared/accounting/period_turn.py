"""The turn of benefit periods: reporting what those that are over came to, and what came late.

Nothing is counted differently for it: a new period answers from its first day on, and a late visit counts
to the period of its date whether or not that was reported. What was reported stays on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from shared.domain.period_report import (
    PeriodCounts,
    PeriodName,
    PeriodReport,
    PeriodStanding,
    PeriodStatus,
)

#: After this its last day is over wherever somebody lives (UTC-12).
_LAST_DAY_ENDS_AFTER = timedelta(hours=12)


class PeriodReports(Protocol):
    """Sums over accumulators, and what was reported of them."""

    def counts(self, payer_id: str, *, end_max: date | None) -> dict[PeriodName, PeriodCounts]:
        """What the payer's periods that end until `end_max` (None: all that end) come to."""
        ...

    def reported(self, payer_id: str) -> dict[PeriodName, list[PeriodReport]]:
        """Every report of the payer's periods, oldest first."""
        ...

    def add(self, reports: Sequence[PeriodReport]) -> None:
        """Keep reports; one that is there already stays as it is."""
        ...


class PeriodTransaction(Protocol):
    """One open transaction that sees a payer's periods."""

    @property
    def periods(self) -> PeriodReports:
        """Periods and their reports."""
        ...


def close_periods(tx: PeriodTransaction, payer_id: str, now: datetime) -> list[PeriodReport]:
    """Report a payer's periods that are over, and anew those whose counts changed since they were reported.

    Returns the new reports; the commit is the caller's. Safe to run twice.
    """
    known = tx.periods.reported(payer_id)
    made = [
        PeriodReport(name=name, number=len(before) + 1, reported_at=now, counts=counts)
        for name, counts in sorted(tx.periods.counts(payer_id, end_max=_over_by(now)).items())
        for before in [known.get(name, [])]
        if not before or before[-1].counts.entries != counts.entries
    ]
    tx.periods.add(made)
    return made


def period_standings(tx: PeriodTransaction, payer_id: str, now: datetime) -> list[PeriodStanding]:
    """How a payer's periods stand, with what was reported of them."""
    known = tx.periods.reported(payer_id)
    return [
        PeriodStanding(
            name=name,
            counts=counts,
            status=_status(name, counts, known.get(name, ()), now),
            first=next(iter(known.get(name, ())), None),
            newest=next(reversed(known.get(name, ())), None),
        )
        for name, counts in sorted(tx.periods.counts(payer_id, end_max=None).items())
    ]


def amended(reports: Iterable[PeriodReport]) -> int:
    """How many of these reports replace an earlier one."""
    return sum(report.number > 1 for report in reports)


def _over_by(now: datetime) -> date:
    """The last date by which a period that ends is over everywhere."""
    return (now - _LAST_DAY_ENDS_AFTER).date()


def _status(
    name: PeriodName, counts: PeriodCounts, reports: Sequence[PeriodReport], now: datetime
) -> PeriodStatus:
    if not reports:
        return "due" if name.end <= _over_by(now) else "open"
    if reports[-1].counts.entries != counts.entries:
        return "changed"
    return "amended" if len(reports) > 1 else "closed"
