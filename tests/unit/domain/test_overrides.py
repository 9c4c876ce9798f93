"""Overrides: units on top of a limit, for everybody or for one visit (contract sections 4 and 6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from shared.domain.enrollment import EnrollmentSpan
from tests.builders import history, plan, visit
from tests.folding import ask, counted, dispositions, fold, override, used, used_by_period
from tests.rules import limit_row, plain_rules

ONE = plain_rules(limit_row(allowed=1))


def test_a_general_override_gives_its_units_to_the_next_in_order() -> None:
    """E27: five extra visits: the sixth is still over."""
    visits = tuple(visit(n) for n in range(1, 8))
    state = fold(*visits, overrides=(override(5),), rules=ONE)
    assert used(state) == {"dry-needling": 6}
    assert dispositions(state)["v7"] == "over_limit"


def test_an_override_changes_what_is_allowed_and_not_what_is_used() -> None:
    """E27: an answer shows five more allowed and the same used."""
    said = ask(history(visits=(visit(1),), overrides=(override(5),)), ONE)
    (standing,) = said.limits
    assert (standing.allowed, standing.used, standing.remaining) == (6, 1, 5)
    assert said.reasons[0].text == "1 of 6 used in this plan year (5 of the 6 by override)"


def test_an_override_serves_only_service_dates_before_it_expires() -> None:
    """`expires_on` is about the date of service, not about when it was told."""
    grant = override(5, expires_on=date(2026, 6, 1))
    visits = (visit(1), visit(2, date(2026, 5, 31)), visit(3, date(2026, 6, 1)))
    state = fold(*visits, overrides=(grant,), rules=ONE)
    assert counted(state) == ["v1", "v2"]
    (standing,) = ask(history(visits=visits, overrides=(grant,)), ONE, date(2026, 6, 1)).limits
    assert (standing.used, standing.allowed, standing.remaining) == (2, 1, 0)


def test_an_override_belongs_to_the_period_of_its_date() -> None:
    """Granted for 2026 it serves no visit of 2027."""
    visits = (visit(1), visit(2), visit(3, date(2027, 1, 1)), visit(4, date(2027, 1, 2)))
    state = fold(*visits, overrides=(override(1),), rules=ONE)
    assert used_by_period(state) == {"2026-01-01": 2, "2027-01-01": 1}


def test_an_override_for_one_visit_counts_it_whatever_the_order() -> None:
    """E26: a denial overturned on appeal counts once, though the limit was filled meanwhile."""
    won = override(1, visit_id="v3")
    state = fold(visit(1), visit(2), visit(3), overrides=(won,), rules=ONE)
    assert counted(state) == ["v1", "v3"]
    (accumulator,) = state.accumulators.values()
    assert (accumulator.used, accumulator.granted, accumulator.allowed) == (2, 1, 2)
    (why,) = next(outcome.reasons for key, outcome in state.visits.items() if key.visit_id == "v3")
    assert (
        why.text
        == "counted within the 1 allowed in this plan year and 1 granted to this visit alone by override"
    )


def test_a_visit_with_units_of_its_own_leaves_the_shared_ones_to_others() -> None:
    """Even first in the order, it uses what was granted to it alone."""
    state = fold(visit(1), visit(2), visit(3), overrides=(override(1, visit_id="v1"),), rules=ONE)
    assert counted(state) == ["v1", "v2"]


def test_an_override_for_a_voided_visit_serves_nobody() -> None:
    """What was granted for one visit alone does not pass to the next."""
    gone = replace(visit(2), voided_by=9)
    state = fold(visit(1), gone, visit(3), overrides=(override(1, visit_id="v2"),), rules=ONE)
    assert counted(state) == ["v1"]
    (accumulator,) = state.accumulators.values()
    assert accumulator.allowed == 1


def test_a_revoked_override_puts_the_last_in_order_over_the_limit() -> None:
    """Without it the units are gone again, and remaining is zero, never negative."""
    visits = (visit(1), visit(2))
    assert counted(fold(*visits, overrides=(override(1),), rules=ONE)) == ["v1", "v2"]
    assert counted(fold(*visits, rules=ONE)) == ["v1"]


def test_an_override_raises_the_plan_of_its_date_only() -> None:
    """Granted while in the first plan, it is not granted a second time in the plan after it."""
    plans = (plan("first"), plan("second"))
    spans = (
        EnrollmentSpan(plan_id="first", start=date(2026, 1, 1), end=date(2026, 7, 1)),
        EnrollmentSpan(plan_id="second", start=date(2026, 7, 1)),
    )
    visits = [visit(n, date(2026, month, 9)) for n, month in enumerate((3, 3, 8, 8), start=1)]
    state = fold(*visits, plans=plans, spans=spans, overrides=(override(1),), rules=ONE)
    assert counted(state) == ["v1", "v2", "v3"]


def test_an_override_of_a_rolling_limit_serves_the_windows_that_hold_its_date() -> None:
    """It does not raise the limit for ever."""
    rules = plain_rules(limit_row(allowed=1, basis="rolling_days", rolling_days=10))
    visits = [visit(n, day) for n, day in enumerate((date(2026, 3, 4), date(2026, 3, 13)), start=1)]
    later = [visit(n, date(2026, 5, 9)) for n in (3, 4)]
    state = fold(*visits, *later, overrides=(override(1, date(2026, 3, 4)),), rules=rules)
    assert counted(state) == ["v1", "v2", "v3"]


def test_a_service_may_need_room_beside_its_override_in_another_limit() -> None:
    """Units on top of one limit are no room in the other."""
    rules = plain_rules(limit_row(allowed=1), limit_row("pool", 1))
    state = fold(visit(1), visit(2), overrides=(override(1, visit_id="v2"),), rules=rules)
    assert dispositions(state)["v2"] == "over_limit"
