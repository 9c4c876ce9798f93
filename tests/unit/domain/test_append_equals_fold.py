"""The fast path of a plain new visit: the same state as a fold of everything."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from shared.accounting.codec import hold_outcome_to, key_to, visit_outcome_to
from shared.domain.adjudication import Fold, adjudicate
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.history import MemberState, Rules
from shared.domain.visit import Visit
from tests.builders import history, plan, visit
from tests.model.bridge import Row, history_of, members_of, visits_of
from tests.model.running import searching
from tests.model.worlds import worlds
from tests.rules import SimpleRules, limit_row, plain_rules


def canonical(state: MemberState) -> bytes:
    """A state as bytes: equal states have equal bytes, however they were reached."""
    told = {
        "accumulators": [
            {"key": key_to(key), "state": repr(accumulator)}
            for key, accumulator in sorted(state.accumulators.items())
        ],
        "visits": [
            [key.client_id, key.visit_id, outcome.disposition, outcome.plan_id, visit_outcome_to(outcome)]
            for key, outcome in sorted(state.visits.items())
        ],
        "holds": [[name, hold.state, hold_outcome_to(hold)] for name, hold in sorted(state.holds.items())],
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def assert_appending_equals_folding(world: Row, rules: Rules, known: int) -> None:
    """Append each member's visits, but for the first `known`, and compare with a fold of all so far."""
    for member in members_of(world):
        visits = sorted(visits_of(world)[member], key=lambda v: (v.arrival is None, v.arrival or 0))
        everything = history_of(world, member, visits=visits)
        fold = Fold(replace(everything, visits=tuple(visits[:known])), rules)
        for number, new in enumerate(visits[known:], start=known + 1):
            so_far = replace(everything, visits=tuple(visits[:number]))
            if not fold.append(new):
                fold = Fold(so_far, rules)
            assert canonical(fold.state()) == canonical(adjudicate(so_far, rules))


@searching(35)
@given(worlds(), st.integers(0, 8))
def test_appending_visits_after_any_history_equals_folding_it_whole(world: Row, known: int) -> None:
    """Wherever `append` takes a visit, the state is byte-equal to that of a full fold."""
    assert_appending_equals_folding(world, SimpleRules(world["rules"]), known)


@searching(30)
@given(worlds())
def test_a_refused_append_changes_nothing(world: Row) -> None:
    """Where `append` says no, the fold is as it was before."""
    rules = SimpleRules(world["rules"])
    for member in members_of(world):
        visits = visits_of(world)[member]
        fold = Fold(history_of(world, member, visits=visits[:-1]), rules)
        before = canonical(fold.state())
        if visits and not fold.append(visits[-1]):
            assert canonical(fold.state()) == before


def test_a_plain_new_visit_is_appended() -> None:
    """The fast path is taken by what most events are: a visit that arrives last and names nothing."""
    fold = Fold(history(visits=(visit(1),)), SimpleRules())
    assert fold.append(visit(2))
    (accumulator,) = fold.state().accumulators.values()
    assert accumulator.used == 2


def test_a_visit_that_may_move_others_is_not_appended() -> None:
    """A late arrival, a repeated name, a hold, a void and an order by service date need the whole fold."""
    plain = Fold(history(visits=(visit(5),)), SimpleRules())
    assert not plain.append(visit(4))
    assert not plain.append(visit(5, arrival=9))
    assert not plain.append(visit(6, hold_id="h1"))
    assert not plain.append(replace(visit(6), voided_by=7))
    assert not plain.append(replace(visit(6), arrival=None))
    by_date = SimpleRules(plain_rules(limit_row(), ordering="service_date"))
    assert not Fold(history(visits=(visit(5),)), by_date).append(visit(6))
    first = SimpleRules(plain_rules(limit_row(basis="first_service_year")))
    assert not Fold(history(visits=(visit(5),)), first).append(visit(6, date(2026, 3, 3)))


def test_a_unit_carried_from_a_limit_ordered_by_date_has_its_place_by_arrival() -> None:
    """It keeps its room from a visit that is recorded later, and takes none from one before it."""
    limits = (
        {**limit_row(allowed=1), "plans": ["by-date"], "ordering": "service_date"},
        {**limit_row(allowed=1), "plans": ["by-arrival"]},
    )
    changed = date(2026, 7, 1)
    rules = SimpleRules(plain_rules(*limits))
    known = history(
        plans=(plan("by-date"), plan("by-arrival", carry_over="all")),
        spans=(
            EnrollmentSpan(plan_id="by-date", start=date(2020, 1, 1), end=changed),
            EnrollmentSpan(plan_id="by-arrival", start=changed),
        ),
        visits=(visit(2),),
    )
    before, after = visit(1, changed), visit(3, changed + timedelta(days=1))
    fold = Fold(known, rules)
    assert fold.append(after)
    assert canonical(fold.state()) == canonical(adjudicate(replace(known, visits=(visit(2), after)), rules))
    assert disposition(fold, after) == "over_limit"
    both = Fold(replace(known, visits=(before, visit(2), after)), rules)
    assert [disposition(both, v) for v in (before, visit(2), after)] == ["counted", "counted", "over_limit"]


def disposition(fold: Fold, of: Visit) -> str:
    """What became of a visit."""
    outcome = fold.outcome(of.key)
    assert outcome is not None
    return outcome.disposition
