"""Rolling limits: no window of N dates ever holds more than is allowed (contract section 3)."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import history, visit
from tests.folding import ask, counted, dispositions, fold
from tests.model.running import searching
from tests.rules import limit_row, plain_rules

START = date(2026, 1, 1)


def rolling(allowed: int, days: int, ordering: str = "received") -> dict[str, object]:
    """Rules with one rolling limit."""
    return plain_rules(limit_row(allowed=allowed, basis="rolling_days", rolling_days=days), ordering=ordering)


def test_the_window_is_the_dates_that_end_with_the_service_date() -> None:
    """E17: twelve in ninety days: the thirteenth does not fit on day 90, and does on day 91."""
    twelve = [visit(n, START + timedelta(days=n - 1)) for n in range(1, 13)]
    rules = rolling(12, 90)
    assert (
        dispositions(fold(*twelve, visit(13, START + timedelta(days=89)), rules=rules))["v13"] == "over_limit"
    )
    assert dispositions(fold(*twelve, visit(13, START + timedelta(days=90)), rules=rules))["v13"] == "counted"


def test_a_yearly_limit_beside_a_rolling_one_goes_on() -> None:
    """E17: of thirteen visits in a quarter twelve count, and the year shows twelve of its twenty."""
    rules = plain_rules(
        limit_row("year", 20), limit_row("quarter", 12, basis="rolling_days", rolling_days=90)
    )
    thirteen = [visit(n, START + timedelta(days=n - 1)) for n in range(1, 14)]
    state = fold(*thirteen, rules=rules)
    assert counted(state) == sorted(f"v{n}" for n in range(1, 13))
    year = next(one for key, one in state.accumulators.items() if key.limit_id == "year")
    assert (year.used, year.allowed) == (12, 20)


def test_a_late_visit_finds_room_only_if_every_window_with_its_date_has_some() -> None:
    """Two on days 5 and 8 fill a window that holds day 3, though the one that ends with it is empty."""
    rules = rolling(2, 10)
    filled = (visit(1, START + timedelta(days=5)), visit(2, START + timedelta(days=8)))
    state = fold(*filled, visit(3, START + timedelta(days=3)), rules=rules)
    assert dispositions(state)["v3"] == "over_limit"
    said = ask(history(visits=filled), rules, START + timedelta(days=3))
    assert said.decision == "not_covered"
    text = "0 of 2 used within 10 days, and services of later dates take room in the same 10 days"
    assert said.reasons[0].text == text, "the count alone would read as if there were room"


@searching(60)
@given(
    st.lists(st.integers(0, 30), max_size=14),
    st.integers(1, 3),
    st.integers(1, 12),
    st.sampled_from(["received", "service_date"]),
)
def test_no_window_holds_more_than_is_allowed(
    days: list[int], allowed: int, length: int, ordering: str
) -> None:
    """Whatever order visits arrive in, each window of each length is within its limit (I3)."""
    visits = [visit(n, START + timedelta(days=day)) for n, day in enumerate(days, start=1)]
    state = fold(*visits, rules=rolling(allowed, length, ordering))
    names = set(counted(state))
    kept = [days[n] for n in range(len(days)) if f"v{n + 1}" in names]
    for last in range(45):
        assert sum(last - length < day <= last for day in kept) <= allowed
