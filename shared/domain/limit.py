"""Limits: how much of what, per which benefit period, from which pool of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.domain.enrollment import CarryOver

Measure = Literal["visit", "service_day", "service_line", "unit"]
Basis = Literal[
    "plan_year",
    "calendar_year",
    "contract_year",
    "enrollment_year",
    "first_service_year",
    "rolling_days",
    "lifetime",
    "authorization",
    "injury",
]
Ordering = Literal["received", "service_date"]

MEASURES: tuple[str, ...] = ("visit", "service_day", "service_line", "unit")
BASES: tuple[str, ...] = (
    "plan_year",
    "calendar_year",
    "contract_year",
    "enrollment_year",
    "first_service_year",
    "rolling_days",
    "lifetime",
    "authorization",
    "injury",
)
ORDERINGS: tuple[str, ...] = ("received", "service_date")
#: `allowed` of a limit without a maximum: it only numbers the visits (`capped` is False).
UNCAPPED = 1_000_000
DIVISIBLE_MEASURES: frozenset[str] = frozenset({"service_line", "unit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of a rule document, as it stands on a service date.

    `allowed` is a whole number of the measure, `pool` the codes that share it, `rolling_days` the
    length of the window (only with that basis). `assumptions` name what the source left open and we
    chose (contract section 4), so that every answer can show it. `capped` is False for a limit that
    only numbers visits: then `allowed` is UNCAPPED and not to be shown. `carry_over`, if set, goes
    before the plan's. `pool` may hold inclusive ranges (`97010-97799`). `dated` says that some
    rule of the payer asks when the first unit was counted, or that another version of the limit counts
    by dates, so that the dates are kept; the catalog sets it.
    """

    limit_id: str
    allowed: int
    pool: tuple[str, ...]
    measure: Measure = "visit"
    basis: Basis = "plan_year"
    rolling_days: int | None = None
    ordering: Ordering = "received"
    assumptions: tuple[str, ...] = ()
    label: str | None = None
    capped: bool = True
    carry_over: CarryOver | None = None
    dated: bool = False

    @property
    def divisible(self) -> bool:
        """Whether part of a visit's quantity may count when the rest does not fit."""
        return self.measure in DIVISIBLE_MEASURES

    @property
    def keeps_days(self) -> bool:
        """Whether the dates of the counted units decide anything later, and not only their sum."""
        by_day = self.basis == "rolling_days" or self.measure == "service_day"
        return self.dated or by_day or self.ordering == "service_date"
