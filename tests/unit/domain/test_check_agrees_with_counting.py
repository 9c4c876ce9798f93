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
from shared.domain.service import Provider
from shared.domain.visit import Visit, VisitContent, VisitKey
from tests.builders import history, plan, visit
from tests.builders import service as asked_about
from tests.folding import ask, lines
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


def test_a_check_says_when_less_is_left_than_is_asked_for() -> None:
    """Five units of which three fit are covered only in part, and the reason says how many."""
    rules = plain_rules(limit_row(allowed=3, measure="unit"), limit_row("visits", 9))
    whole, part = (ask(history(), rules, lines=lines(("20560", units))) for units in (3, 5))
    assert [whole.decision, part.decision] == ["covered", "covered_with_conditions"]
    assert [line.decision for line in part.lines] == ["covered_with_conditions"]
    assert [reason.code for reason in part.reasons][:2] == ["partly_within_limit", "within_limit"]
    assert "leaves 3 of the 5 asked for" in part.reasons[0].text
