"""A check asks what counting asks: what it answers is what a visit recorded next would meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.adjudication import adjudicate
from shared.domain.determination import MemberStanding, determine, determine_from_visits
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.hold import Override
from shared.domain.service import Provider
from shared.domain.visit import Visit, VisitContent, VisitKey
from tests.builders import history, plan, visit
from tests.builders import service as asked_about
from tests.folding import ask, hold, lines
from tests.model.agreement import agree
from tests.model.bridge import Row, history_of, service_of
from tests.model.running import searching
from tests.model.worlds import DATES, MEMBERS, service, worlds
from tests.rules import SimpleRules, limit_row, plain_rules


@searching(40)
@given(worlds(), service(st.sampled_from(DATES)))
def test_a_check_says_what_the_next_visit_meets(world: Row, asked: Row) -> None:
    """Covered is counted, a full limit is over the limit, and the rest is not counted for the same reason."""
    rules, member = SimpleRules(world["rules"]), MEMBERS[0]
    known = history_of(world, member)
    # Two visits of one provider may be one, and what an operator makes of that no check can know.
    wanted = replace(service_of(asked), provider=Provider())
    state = adjudicate(known, rules)
    standing = MemberStanding(
        history=replace(known, visits=(), holds=()), accumulators=tuple(state.accumulators.values())
    )
    said, _ = determine_from_visits(rules, standing, wanted, None, lambda: known)
    last = max((visit.arrival or 0 for visit in known.visits), default=0)
    new = Visit(
        key=VisitKey(client_id="e", visit_id="asked"),
        arrival=last + 1,
        content=VisitContent(member_id=member, service=wanted),
    )
    recorded = adjudicate(replace(known, visits=(*known.visits, new)), rules)
    assert agree(said, recorded.visits[new.key].disposition)


@pytest.mark.parametrize("known", range(4))
@pytest.mark.parametrize(
    "orderings",
    [("service_date", "received", "service_date"), ("received", "service_date", "received")],
)
def test_a_check_says_what_the_next_visit_meets_after_two_changes_of_plan(
    orderings: tuple[str, ...], known: int
) -> None:
    """Whatever the order of each plan's limit: what earlier plans left in it comes before its own visits."""
    names, starts = ("a", "b", "c"), (date(2026, 1, 1), date(2026, 3, 1), date(2026, 5, 1))
    limits = zip(names, orderings, strict=True)
    rules = SimpleRules(
        plain_rules(*({**limit_row(allowed=2), "plans": [n], "ordering": o} for n, o in limits))
    )
    spans = tuple(
        EnrollmentSpan(plan_id=name, start=start, end=end)
        for name, start, end in zip(names, starts, (*starts[1:], None), strict=True)
    )
    visits = tuple(visit(number, starts[number - 1]) for number in range(1, known + 1))
    so_far = history(plans=[plan(n, carry_over="all") for n in names], spans=spans, visits=visits)
    standing = MemberStanding(
        history=replace(so_far, visits=()),
        accumulators=tuple(adjudicate(so_far, rules).accumulators.values()),
    )
    for on in starts:
        said = determine(rules, standing, asked_about(on + timedelta(days=1)))
        new = visit(known + 1, on + timedelta(days=1))
        recorded = adjudicate(replace(so_far, visits=(*visits, new)), rules)
        assert agree(said, recorded.visits[new.key].disposition)


def test_a_check_before_the_date_of_a_used_hold_knows_that_it_keeps_its_units_again() -> None:
    """The visit that used it falls in another year once an earlier one is open, so the hold comes first."""
    rules = plain_rules(limit_row(allowed=1, basis="first_service_year"))
    placed = hold(on=date(2025, 12, 31), arrival=1)
    used_by = visit(1, date(2026, 6, 30), arrival=2, hold_id=placed.hold_id)
    so_far = history(visits=(used_by,), holds=(placed,))
    assert adjudicate(so_far, SimpleRules(rules)).holds[placed.hold_id].state == "posted"
    said = ask(so_far, rules, on=date(2025, 6, 30))
    asked = replace(so_far, visits=(used_by, visit(2, date(2025, 6, 30))))
    recorded = adjudicate(asked, SimpleRules(rules))
    assert said.decision == "not_covered"
    assert recorded.visits[VisitKey(client_id="c", visit_id="v2")].disposition == "over_limit"


def test_a_hold_that_a_later_no_show_released_opens_no_year() -> None:
    """Also where the visit that named it before was of another year, and so left it as it was."""
    rules = plain_rules(limit_row(allowed=1, basis="first_service_year"))
    placed = hold(on=date(2025, 6, 30), arrival=1)
    elsewhere = visit(1, date(2026, 6, 30), arrival=2, hold_id=placed.hold_id)
    missed = visit(2, date(2026, 6, 30), arrival=3, hold_id=placed.hold_id, visit_status="no_show")
    so_far = history(visits=(elsewhere, missed), holds=(placed,))
    before = adjudicate(so_far, SimpleRules(rules))
    assert before.holds[placed.hold_id].state == "released"
    said = ask(so_far, rules, on=date(2025, 12, 31))
    asked = replace(so_far, visits=(*so_far.visits, visit(3, date(2025, 12, 31), arrival=4)))
    recorded = adjudicate(asked, SimpleRules(rules))
    assert {key.period.start for key in recorded.accumulators} == {date(2025, 12, 31)}
    assert agree(said, recorded.visits[VisitKey(client_id="c", visit_id="v3")].disposition)


def test_a_check_within_a_year_that_nothing_was_counted_in_knows_that_it_is_open() -> None:
    """A hold without room opened it, so a visit soon after its end lies in the next one."""
    rules = plain_rules(limit_row(allowed=1, basis="first_service_year"))
    roomless = hold(on=date(2025, 6, 30), arrival=1, quantity=2)
    counted = visit(1, date(2026, 6, 30), arrival=2)
    so_far = history(visits=(counted,), holds=(roomless,))
    said = ask(so_far, rules, on=date(2025, 12, 31))
    asked = replace(so_far, visits=(counted, visit(2, date(2025, 12, 31), arrival=3)))
    recorded = adjudicate(asked, SimpleRules(rules))
    assert said.decision == "covered"
    assert recorded.visits[VisitKey(client_id="c", visit_id="v2")].disposition == "counted"


def test_a_check_counts_an_override_in_the_year_that_it_would_open() -> None:
    """Granted for a later date of a first-service year that no visit has opened yet."""
    rules = plain_rules(limit_row(allowed=0, basis="first_service_year"))
    granted = Override(
        override_id="o1", limit_id=limit_row()["limit_id"], service_date=date(2025, 12, 31), quantity=1
    )
    so_far = history(overrides=(granted,))
    for on, expected in ((date(2025, 6, 30), "counted"), (date(2024, 6, 30), "over_limit")):
        said = ask(so_far, rules, on=on)
        recorded = adjudicate(replace(so_far, visits=(visit(1, on),)), SimpleRules(rules))
        assert recorded.visits[VisitKey(client_id="c", visit_id="v1")].disposition == expected
        assert agree(said, expected)


def test_a_check_says_when_less_is_left_than_is_asked_for() -> None:
    """Five units of which three fit are covered only in part, and the reason says how many."""
    rules = plain_rules(limit_row(allowed=3, measure="unit"), limit_row("visits", 9))
    whole, part = (ask(history(), rules, lines=lines(("20560", units))) for units in (3, 5))
    assert [whole.decision, part.decision] == ["covered", "covered_with_conditions"]
    assert [line.decision for line in part.lines] == ["covered_with_conditions"]
    assert [reason.code for reason in part.reasons][:2] == ["partly_within_limit", "within_limit"]
    assert "leaves 3 of the 5 asked for" in part.reasons[0].text
