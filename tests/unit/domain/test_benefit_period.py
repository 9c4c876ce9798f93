"""Benefit periods: which one a date lies in, for every basis a limit can name (contract section 3)."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.benefit_period import (
    BenefitPeriod,
    anchored_year,
    first_service_year,
    first_service_years,
    period_for,
    rolling_window,
)
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.limit import Basis, Limit
from shared.domain.service import Authorization
from tests.builders import plan, service
from tests.model.running import searching

_dates = st.dates(date(2019, 1, 1), date(2033, 12, 31))
#: Every month and day a year can begin with, leap day among them.
_anchors = st.dates(date(2024, 1, 1), date(2024, 12, 31)).map(lambda day: (day.month, day.day))


def period(basis: Basis, on: date, **about: object) -> BenefitPeriod | None:
    """The period of a limit with this basis that a service on `on` falls in."""
    limit = Limit(limit_id="x", allowed=1, pool=("20560",), basis=basis)
    plans = plan(
        plan_year_start=about.get("plan_year_start", "01-01"), contract_start=about.get("contract_start")
    )
    span = EnrollmentSpan(plan_id="employer", start=date(2024, 2, 29))
    asked = service(on, authorization=about.get("authorization"), injury_id=about.get("injury_id"))
    return period_for(limit, plans, span, asked)


@searching(100)
@given(_anchors, _dates)
def test_every_date_lies_in_exactly_one_anchored_year(anchor: tuple[int, int], on: date) -> None:
    """The year holds its date, the next begins where it ends, and one before it ends where it begins."""
    start, end = anchored_year(*anchor, on)
    assert start <= on < end
    assert anchored_year(*anchor, end)[0] == end
    assert anchored_year(*anchor, start - timedelta(days=1))[1] == start
    assert 365 <= (end - start).days <= 366


def test_leap_day_anchor_falls_on_march_1_in_common_years() -> None:
    """A group that began on 2024-02-29 has a year for each date from 2024 to 2032, without gap or overlap."""
    day, last = date(2024, 2, 29), date(2032, 12, 31)
    starts = []
    while day <= last:
        start, end = anchored_year(2, 29, day)
        assert start == day
        starts.append(start)
        day = end
    assert starts == [date(y, 2, 29) if y % 4 == 0 else date(y, 3, 1) for y in range(2024, 2033)]


def test_plan_year_splits_at_its_own_start() -> None:
    """With a plan year from July 1, June 30 and July 1 are in different periods."""
    june = period("plan_year", date(2026, 6, 30), plan_year_start="07-01")
    july = period("plan_year", date(2026, 7, 1), plan_year_start="07-01")
    assert june == BenefitPeriod(basis="plan_year", start=date(2025, 7, 1), end=date(2026, 7, 1))
    assert july == BenefitPeriod(basis="plan_year", start=date(2026, 7, 1), end=date(2027, 7, 1))


@pytest.mark.parametrize(
    ("basis", "start"),
    [
        ("plan_year", date(2026, 1, 1)),
        ("calendar_year", date(2026, 1, 1)),
        ("contract_year", date(2025, 10, 15)),
        ("enrollment_year", date(2026, 3, 1)),
    ],
)
def test_each_yearly_basis_has_its_own_anchor(basis: Basis, start: date) -> None:
    """The plan's start, January 1, the contract's and the enrollment's anniversary open the year."""
    found = period(basis, date(2026, 3, 4), contract_start=date(2020, 10, 15))
    assert found is not None
    assert found.start == start


def test_contract_year_of_a_plan_without_a_contract_start_is_unknown() -> None:
    """Where nothing names the anchor there is no period, rather than a guessed one."""
    assert period("contract_year", date(2026, 3, 4)) is None


def test_first_service_year_ends_after_eleven_full_months() -> None:
    """First service 2026-03-21: the next year can open on 2027-03-01."""
    assert first_service_year(date(2026, 3, 21)) == (date(2026, 3, 21), date(2027, 3, 1))
    assert first_service_year(date(2026, 3, 1)) == (date(2026, 3, 1), date(2027, 3, 1))
    assert first_service_year(date(2024, 2, 29)) == (date(2024, 2, 29), date(2025, 2, 1))


@searching(100)
@given(st.lists(_dates, max_size=12))
def test_first_service_years_chain_without_overlap(days: list[date]) -> None:
    """Each date lies in exactly one of the years that the dates open, and a date opens each of them."""
    years = first_service_years(days)
    for day in days:
        assert sum(start <= day < end for start, end in years) == 1
    assert {start for start, _ in years} <= set(days)
    for (_, end), (start, _) in pairwise(years):
        assert end <= start


@searching(100)
@given(st.integers(1, 400), _dates, _dates)
def test_rolling_window_is_the_dates_that_end_with_its_own(days: int, on: date, other: date) -> None:
    """The window of N dates holds its last date and the N - 1 before it."""
    start, end = rolling_window(days, on)
    assert (end - start).days == days
    assert (start <= other < end) == (0 <= (on - other).days < days)


def test_authorization_names_its_period() -> None:
    """The number is the period's subject; without one, or outside its dates, there is no period."""
    valid = Authorization(number="A1", start=date(2026, 1, 1), end=date(2026, 7, 1))
    found = period("authorization", date(2026, 6, 30), authorization=valid)
    assert found is not None
    assert found.subject == "A1"
    assert period("authorization", date(2026, 7, 1), authorization=valid) is None
    assert period("authorization", date(2025, 12, 31), authorization=valid) is None
    assert period("authorization", date(2026, 3, 4)) is None
    assert period("authorization", date(1999, 3, 4), authorization=Authorization(number="A1")) == found


def test_injury_and_lifetime_have_no_dates() -> None:
    """An injury's period holds all its visits, a lifetime all of the member's."""
    knee = period("injury", date(2026, 3, 4), injury_id="knee")
    assert knee == period("injury", date(2031, 3, 4), injury_id="knee")
    assert knee != period("injury", date(2026, 3, 4), injury_id="hip")
    assert period("injury", date(2026, 3, 4)) is None
    assert period("lifetime", date(2026, 3, 4)) == period("lifetime", date(1999, 1, 1))
