"""Reports of benefit periods that are over: what all members of a payer came to. Nothing about a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from shared.domain.limit import Basis

#: `open`: not over. `due`: over and not reported yet. `closed`: as it was reported. `amended`: reported
#: again since something came late. `changed`: something came late and is not reported yet.
PeriodStatus = Literal["open", "due", "closed", "amended", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PeriodName:
    """The periods of one limit that end at the same time: `end` is the first date after them.

    With a plan or calendar year that is one period for all; those that follow the member have a start
    of their own.
    """

    payer_id: str
    plan_id: str
    limit_id: str
    basis: Basis
    end: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCounts:
    """The sums over all members: units used and held, and `members_full` who have no unit left.

    `entries` counts the ledger entries behind them: as long as it is the same, so is the rest.
    """

    members: int
    used: int
    held: int
    members_full: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodReport:
    """What was reported of a period: `number` 1 when it was closed, more where that was amended later."""

    name: PeriodName
    number: int
    reported_at: datetime
    counts: PeriodCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodStanding:
    """A period as it stands now, beside its first and its newest report, if there is one."""

    name: PeriodName
    counts: PeriodCounts
    status: PeriodStatus
    first: PeriodReport | None = None
    newest: PeriodReport | None = None
