"""Benefit periods: the half-open spans `[start, end)` that limits run over (contract section 3).

Everything here is calendar arithmetic on plain dates; nothing looks at today.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.limit import Basis, Limit
from shared.domain.record import record
from shared.domain.service import Service

#: Bounds of the periods that have none of their own (lifetime, rolling_days, authorization, injury).
UNBOUNDED_START = date(1, 1, 1)
UNBOUNDED_END = date(9999, 12, 31)


@record(frozen=True, slots=True, kw_only=True, order=True)
class BenefitPeriod:
    """A benefit period `[start, end)` of one basis.

    `subject` tells apart the periods of the bases that follow a thing instead of a calendar: the
    authorization's number or the injury's id. It is empty with every other basis.
    """

    basis: Basis
    start: date
    end: date
    subject: str = ""

    def contains(self, day: date) -> bool:
        """Whether `day` lies in `[start, end)`."""
        return self.start <= day < self.end


def _anchored(year: int, month: int, day: int) -> date:
    """The anchor's date in `year`; February 29 falls on March 1 in common years."""
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, 3, 1)


def anchored_year(month: int, day: int, on: date) -> tuple[date, date]:
    """The year that opens each `month`/`day` and contains `on`, as `[start, end)`."""
    start = _anchored(on.year, month, day)
    if on < start:
        return _anchored(on.year - 1, month, day), start
    return start, _anchored(on.year + 1, month, day)


def first_service_year(opened_on: date) -> tuple[date, date]:
    """The year a first service opens: until eleven full months after its month have passed.

    First service 2020-03-21: the next year opens 2021-03-01 (Medicare NCD 30.3.3).
    """
    return opened_on, date(opened_on.year + 1, opened_on.month, 1)


def first_service_years(service_dates: Iterable[date]) -> tuple[tuple[date, date], ...]:
    """The chain of first-service years that qualifying dates open, earliest first."""
    years: list[tuple[date, date]] = []
    for day in sorted(set(service_dates)):
        if not years or day >= years[-1][1]:
            years.append(first_service_year(day))
    return tuple(years)


def rolling_window(days: int, on: date) -> tuple[date, date]:
    """The `days` dates ending with `on`, itself included, as `[start, end)`."""
    return on - timedelta(days=days - 1), on + timedelta(days=1)


def period_for(  # noqa: PLR0911 - one return per basis reads best
    limit: Limit,
    plan: Plan,
    span: EnrollmentSpan,
    service: Service,
    first_years: tuple[tuple[date, date], ...] = (),
) -> BenefitPeriod | None:
    """The period of `limit` that a service falls in; None when what names the period is not known.

    A date that the authorization does not cover lies in no period of its.

    `first_years` are the first-service years open so far; a date in none of them shows the one it
    would open. A `rolling_days` limit has one unbounded period here, its windows are taken inside it.
    """
    on = service.service_date
    match limit.basis:
        case "plan_year":
            month, day = (int(part) for part in plan.plan_year_start.split("-"))
            return _period("plan_year", anchored_year(month, day, on))
        case "calendar_year":
            return _period("calendar_year", anchored_year(1, 1, on))
        case "contract_year":
            anchor = plan.contract_start
            return _period("contract_year", anchored_year(anchor.month, anchor.day, on)) if anchor else None
        case "enrollment_year":
            return _period("enrollment_year", anchored_year(span.start.month, span.start.day, on))
        case "first_service_year":
            known = next((year for year in first_years if year[0] <= on < year[1]), None)
            return _period("first_service_year", known or first_service_year(on))
        case "authorization":
            held = service.authorization
            return _subject("authorization", held.number if held and held.covers(on) else None)
        case "injury":
            return _subject("injury", service.injury_id)
        case "rolling_days" | "lifetime":
            return BenefitPeriod(basis=limit.basis, start=UNBOUNDED_START, end=UNBOUNDED_END)


def _period(basis: Basis, bounds: tuple[date, date]) -> BenefitPeriod:
    return BenefitPeriod(basis=basis, start=bounds[0], end=bounds[1])


def _subject(basis: Basis, subject: str | None) -> BenefitPeriod | None:
    if subject is None:
        return None
    return BenefitPeriod(basis=basis, start=UNBOUNDED_START, end=UNBOUNDED_END, subject=subject)
