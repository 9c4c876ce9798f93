"""Of the versions of a rule document that speak of a service date, the latest is in force."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.rule_precedence import VersionDates, in_force, instead_of

FIRST = date(2026, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(8)]

edges = st.none() | st.sampled_from(DAYS)


def in_order(edges: tuple[date | None, date | None]) -> tuple[date | None, date | None]:
    """A span `[start, end)` of two edges: open at the end where they are no span."""
    start, end = edges
    return (start, end) if start is None or end is None or start < end else (start, None)


spans = st.tuples(edges, edges).map(in_order)


def dates(version: int, start: date | None, end: date | None = None) -> VersionDates:
    """The service dates of a version."""
    return VersionDates(version=version, start=start, end=end)


def speaks(version: VersionDates, on: date) -> bool:
    """Whether a version speaks of a date."""
    return (version.start is None or version.start <= on) and (version.end is None or on < version.end)


def test_later_version_takes_the_dates_that_it_speaks_of() -> None:
    """The earlier one keeps those before it; one that is covered as a whole has none."""
    old, middle, new = dates(1, date(2021, 1, 1)), dates(2, date(2026, 1, 1)), dates(3, date(2025, 7, 1))
    found = in_force([old, middle, new])
    assert found == (dates(1, date(2021, 1, 1), date(2025, 7, 1)), new)
    assert instead_of(middle, found) == (dates(3, date(2026, 1, 1)),)
    assert instead_of(old, found) == (new,)
    assert instead_of(new, found) == ()


def test_version_that_ends_gives_its_dates_back() -> None:
    """What the later one cuts in two is there before and after it."""
    old, new = dates(1, None), dates(2, date(2026, 3, 1), date(2026, 4, 1))
    assert in_force([new, old]) == (dates(1, None, date(2026, 3, 1)), new, dates(1, date(2026, 4, 1)))


@given(st.lists(spans, max_size=4))
def test_each_date_has_the_latest_version_that_speaks_of_it(
    given_spans: list[tuple[date | None, date | None]],
) -> None:
    """Asked date by date it is the same, and spans in a row are of different versions."""
    versions = [dates(number, start, end) for number, (start, end) in enumerate(given_spans, 1)]
    found = in_force(versions)
    for on in [FIRST - timedelta(days=1), *DAYS]:
        latest = max((version.version for version in versions if speaks(version, on)), default=None)
        assert [span.version for span in found if speaks(span, on)] == ([latest] if latest else [])
        for version in versions:
            others = [span.version for span in instead_of(version, found) if speaks(span, on)]
            assert others == ([latest] if speaks(version, on) and latest != version.version else [])
    for span, following in pairwise(found):
        assert (span.version, span.end) != (following.version, following.start)
