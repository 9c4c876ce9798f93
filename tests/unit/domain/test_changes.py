"""What changes around visits: limits, plans, enrollments, opening balances, the first service of a year."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from shared.domain.enrollment import CarryOver, EnrollmentSpan
from shared.domain.hold import OpeningBalance
from tests.builders import history, plan, visit
from tests.folding import DAY, ask, counted, dispositions, fold, used, used_by_period
from tests.rules import limit_row, plain_rules

TWENTY = [visit(n, date(2026, 3, n)) for n in range(1, 21)]


def balance(quantity: int, on: date = DAY, **about: Any) -> OpeningBalance:
    """So many used elsewhere, as a vendor says."""
    fields: dict[str, Any] = {"limit_id": "dry-needling", "source": "vendor", "sequence": 1}
    return OpeningBalance(
        **{**fields, "plan_id": "employer", "service_date": on, "quantity": quantity, **about}
    )


# Limits that change


def test_a_limit_lowered_by_date_takes_nothing_back() -> None:
    """E35: 20 until July, 12 from then on, 15 used: they stay, remaining is 0 and never negative."""
    rules = plain_rules(
        limit_row(allowed=20, end=date(2026, 7, 1)), limit_row(allowed=12, start=date(2026, 7, 1))
    )
    state = fold(*TWENTY[:15], visit(30, date(2026, 7, 2)), rules=rules)
    assert used(state) == {"dry-needling": 15}
    assert dispositions(state)["v30"] == "over_limit"
    (july,) = ask(history(visits=tuple(TWENTY[:15])), rules, date(2026, 7, 2)).limits
    assert (july.allowed, july.used, july.remaining) == (12, 15, 0)
    (june,) = ask(history(visits=tuple(TWENTY[:15])), rules, date(2026, 6, 2)).limits
    assert (june.allowed, june.used, june.remaining) == (20, 15, 5)


def test_a_limit_loaded_retroactively_evaluates_every_visit_again() -> None:
    """E36: with 12 for the whole year, the thirteenth and later are over."""
    state = fold(*TWENTY, rules=plain_rules(limit_row(allowed=12)))
    assert used(state) == {"dry-needling": 12}
    assert dispositions(state)["v13"] == "over_limit"


def test_another_plan_year_start_moves_visits_to_other_periods() -> None:
    """E14: with a year from July 1, June 30 and July 1 are counted apart."""
    visits = (visit(1, date(2026, 6, 30)), visit(2, date(2026, 7, 1)))
    assert used_by_period(fold(*visits)) == {"2026-01-01": 2}
    july = (plan(plan_year_start="07-01"),)
    assert used_by_period(fold(*visits, plans=july)) == {"2025-07-01": 1, "2026-07-01": 1}


# First-service years

FIRST = plain_rules(limit_row(allowed=2, basis="first_service_year"))


def test_the_first_service_opens_a_year_of_eleven_more_full_months() -> None:
    """E15: opened on 2026-03-21, the next opens on or after 2027-03-01."""
    days = (date(2026, 3, 21), date(2027, 2, 28), date(2027, 3, 1))
    state = fold(*(visit(n, day) for n, day in enumerate(days, start=1)), rules=FIRST)
    assert used_by_period(state) == {"2026-03-21": 2, "2027-03-01": 1}


def test_a_voided_first_visit_moves_the_year_to_the_next() -> None:
    """E16: the next visit opens it, and what lay in the old year is counted in the new ones."""
    days = (date(2026, 3, 21), date(2026, 6, 10), date(2027, 5, 5))
    visits = [visit(n, day) for n, day in enumerate(days, start=1)]
    assert used_by_period(fold(*visits, rules=FIRST)) == {"2026-03-21": 2, "2027-05-05": 1}
    state = fold(replace(visits[0], voided_by=9), *visits[1:], rules=FIRST)
    assert used_by_period(state) == {"2026-06-10": 2}


def test_a_visit_without_room_opens_a_year_all_the_same() -> None:
    """The earliest date that qualifies opens the year, unit left or not."""
    rules = plain_rules(limit_row(allowed=0, basis="first_service_year"))
    state = fold(visit(1, date(2026, 3, 21)), visit(2, date(2027, 2, 10)), rules=rules)
    assert [key.period.start for key in state.accumulators] == [date(2026, 3, 21)]


def test_a_check_shows_the_first_service_year_it_would_open() -> None:
    """With none open it shows its own; before one that is open, what falls in it of that one's units."""
    (standing,) = ask(history(), FIRST, date(2026, 3, 21)).limits
    assert (standing.period_start, standing.period_end) == (date(2026, 3, 21), date(2027, 3, 1))
    full = history(visits=(visit(1, date(2026, 3, 21)), visit(2, date(2026, 4, 1))))
    (earlier,) = ask(full, FIRST, date(2026, 2, 10)).limits
    assert (earlier.period_start, earlier.used, earlier.exhausted) == (date(2026, 2, 10), 2, True)
    partly = history(visits=(visit(1, date(2026, 3, 21)), visit(2, date(2027, 2, 10))))
    assert ask(partly, FIRST, date(2026, 3, 22)).decision == "not_covered"
    (earlier,) = ask(partly, FIRST, date(2026, 2, 10)).limits
    assert (earlier.period_end, earlier.used, earlier.exhausted) == (date(2027, 2, 1), 1, False)


# Enrollment and plans

MOVED = (
    EnrollmentSpan(plan_id="employer", start=date(2026, 1, 1), end=date(2026, 7, 1)),
    EnrollmentSpan(plan_id="second", start=date(2026, 7, 1)),
)
SPRING = tuple(visit(n, date(2026, 3, n)) for n in range(1, 4))
LIMIT_4 = plain_rules(limit_row(allowed=4))


def after(carry_over: CarryOver, **about: Any) -> tuple[Any, ...]:
    """The plan before July and the one after."""
    return (plan(), plan("second", carry_over=carry_over, **about))


@pytest.mark.parametrize(
    ("carry_over", "about", "brought"),
    [
        ("none", {}, 0),
        ("all", {"market": "individual"}, 3),
        ("same_product", {}, 3),
        ("same_product", {"market": "individual"}, 0),
    ],
)
def test_a_change_of_plan_brings_the_count_along_as_the_plan_says(
    carry_over: CarryOver, about: dict[str, Any], brought: int
) -> None:
    """E28: three used before July; the new plan shows them or not, and where they come from."""
    summer = tuple(visit(n, date(2026, 8, n)) for n in range(4, 9))
    state = fold(*SPRING, *summer, plans=after(carry_over, **about), spans=MOVED, rules=LIMIT_4)
    second = next(one for key, one in state.accumulators.items() if key.plan_id == "second")
    assert second.carried == brought
    assert second.used == 4
    marked = [posting for outcome in state.visits.values() for posting in outcome.postings if posting.carried]
    assert sum(posting.units for posting in marked) == brought


def test_a_late_visit_of_the_old_plan_never_overruns_the_new_one() -> None:
    """What does not fit in the new plan any more counts in the old one alone."""
    summer = tuple(visit(n, date(2026, 8, n)) for n in range(1, 5))
    late = visit(9, date(2026, 3, 9))
    state = fold(*summer, late, plans=after("all"), spans=MOVED, rules=LIMIT_4)
    assert dispositions(state)["v9"] == "counted"
    assert all(one.used <= one.allowed for one in state.accumulators.values())


def test_retroactive_termination_takes_back_the_visits_it_covers() -> None:
    """E29: the plan ended in March: three counted visits are not covered, the count falls by three."""
    ended = (EnrollmentSpan(plan_id="employer", start=date(2026, 1, 1), end=date(2026, 3, 1)),)
    before, now = (
        fold(visit(9, date(2026, 2, 9)), *SPRING),
        fold(visit(9, date(2026, 2, 9)), *SPRING, spans=ended),
    )
    assert used(before) == {"dry-needling": 4}
    assert used(now) == {"dry-needling": 1}
    assert {dispositions(now)[name] for name in ("v1", "v2", "v3")} == {"not_covered"}


def test_retroactive_enrollment_evaluates_what_was_refused_in_order() -> None:
    """E30: enrolled after the fact, the refused visits count, the earlier ones first."""
    rules = plain_rules(limit_row(allowed=2))
    from_march_2 = (EnrollmentSpan(plan_id="employer", start=date(2026, 3, 2)),)
    from_january = (EnrollmentSpan(plan_id="employer", start=date(2026, 1, 1)),)
    assert counted(fold(*SPRING, spans=from_march_2, rules=rules)) == ["v2", "v3"]
    assert counted(fold(*SPRING, spans=from_january, rules=rules)) == ["v1", "v2"]


# Opening balances


def test_an_opening_balance_is_used_before_any_visit() -> None:
    """Two of three used elsewhere leave one; it is shown as opening, with no visit at all too."""
    rules = plain_rules(limit_row(allowed=3))
    state = fold(*SPRING, opening_balances=(balance(2),), rules=rules)
    assert counted(state) == ["v1"]
    (accumulator,) = state.accumulators.values()
    assert (accumulator.opening, accumulator.used) == (2, 3)
    (alone,) = fold(opening_balances=(balance(2),), rules=rules).accumulators.values()
    assert (alone.opening, alone.used, alone.allowed) == (2, 2, 3)


def test_an_opening_balance_never_overruns() -> None:
    """Told that more were used than are allowed, all are taken and no more (I3)."""
    (accumulator,) = fold(opening_balances=(balance(25),)).accumulators.values()
    assert (accumulator.used, accumulator.allowed) == (20, 20)


def test_a_newer_statement_of_one_source_replaces_the_older() -> None:
    """E33, E34: a cumulative file that comes again, or out of order, is not added up."""
    march, april = balance(5, date(2026, 3, 1)), balance(8, date(2026, 4, 1), sequence=2)
    for told in ((march, april), (april, march), (april, april)):
        assert used(fold(opening_balances=told)) == {"dry-needling": 8}


def test_statements_of_two_sources_add_up() -> None:
    """Each source speaks of its own visits."""
    told = (balance(5), balance(3, source="payer"))
    assert used(fold(opening_balances=told)) == {"dry-needling": 8}


def test_an_opening_balance_counts_for_a_visits_number() -> None:
    """Two visits elsewhere make ours the third, which needs the modifier."""
    rules = plain_rules(limit_row(kx_from=3))
    assert dispositions(fold(visit(1), opening_balances=(balance(2),), rules=rules)) == {"v1": "not_covered"}


def test_an_opening_balance_takes_up_no_day() -> None:
    """Where days are counted, a visit on the date that the balance names adds its day."""
    rules = plain_rules(limit_row(measure="service_day"))
    assert used(fold(visit(1, DAY), opening_balances=(balance(2, DAY),), rules=rules)) == {"dry-needling": 3}


@pytest.mark.parametrize("on", [date(2026, 1, 1), date(2026, 12, 31)])
def test_an_opening_balance_stands_ahead_of_service_dates_too(on: date) -> None:
    """By service date as well it is not displaced, whichever date of the period it names."""
    rules = plain_rules(limit_row(allowed=2), ordering="service_date")
    state = fold(*SPRING, opening_balances=(balance(2, on),), rules=rules)
    assert not counted(state)
    assert used(state) == {"dry-needling": 2}
