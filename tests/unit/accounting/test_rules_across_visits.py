"""Rules that look at a member's other visits of the day and at the first of a course, counted by the fold."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from shared.accounting.codec import visit_outcome_to
from shared.accounting.rules import CatalogRules
from shared.domain.adjudication import adjudicate
from shared.domain.determination import MemberStanding, determine
from shared.domain.evaluation import COVERING
from shared.domain.history import History, MemberState
from shared.domain.same_day import SameDay
from shared.domain.service import Provider
from shared.domain.visit import Visit, VisitContent, VisitKey
from tests.model.bridge import Row, history_of, members_of, service_of
from tests.model.memory import MemoryStore, pending_of
from tests.model.running import searching
from tests.model.worlds import DATES, MEMBERS, service, worlds
from tests.unit.accounting.test_books_fold import deliveries
from tests.unit.domain.test_append_equals_fold import assert_appending_equals_folding
from tests.unit.rules.builders import document, packaged

#: Needling is bundled with therapy of the same day, and is covered for eight weeks of a year, at most
#: two sessions in thirty days of the first four of them.
_POLICY = """
applies_to: [{any_payer: true, market: [group, individual]}]
authority: government_program
rules:
  - id: bundled
    codes: ["service:dry_needling"]
    when: {other_codes_on_day: ["97110"]}
    decision: not_covered
    reason: bundled_same_day
  - id: course
    codes: ["service:dry_needling"]
    decision: covered
    criteria:
      - id: eight-weeks
        test: {days_since_first_visit: {limit: course, at_most: 56}}
        reason: frequency_exceeded
      - id: no-more-therapy
        test: {visit_number: {limit: therapy, at_most: 1}}
        reason: not_medically_necessary
  - {id: therapy, codes: ["97110"], decision: covered}
limits:
  - {limit_id: therapy, codes: ["97110"], allowed: unlimited, period: {basis: BASIS}, ordering: ORDER}
  - {limit_id: course, codes: ["service:dry_needling"], allowed: 4, period: {basis: BASIS}, ordering: ORDER}
  - limit_id: early
    codes: ["service:dry_needling"]
    when: {days_since_first_visit: {limit: course, at_most: 27}}
    allowed: 2
    period: {basis: rolling_days, rolling_days: 30}
    ordering: ORDER
"""


@functools.cache
def rules_with(basis: str = "plan_year", order: str = "received") -> CatalogRules:
    """The policy alone, its course running over `basis` and ordered by `order`."""
    policy = document(_POLICY.replace("BASIS", basis).replace("ORDER", order))
    return CatalogRules(replace(packaged(), documents=()).with_documents([policy], version=2))


RULES = st.builds(
    rules_with,
    st.sampled_from(["plan_year", "lifetime", "first_service_year"]),
    st.sampled_from(["received", "received", "service_date"]),
)


@searching(20)
@given(worlds(), RULES, st.integers(0, 8))
def test_appending_equals_folding_whole(world: Row, rules: CatalogRules, known: int) -> None:
    """Wherever `append` takes a visit, the state is byte-equal to that of a full fold (I4)."""
    assert_appending_equals_folding(world, rules, known)


@searching(15)
@given(deliveries(), RULES)
def test_any_order_and_any_batches_lead_to_the_same(
    delivery: tuple[Row, list[list[Row]]], rules: CatalogRules
) -> None:
    """Stored accumulators and visits are those of one fold of the whole history (I4)."""
    world, batches = delivery
    store = MemoryStore(world, rules)
    for batch in batches:
        store.apply([pending_of(event) for event in batch])
    for ref in store.members:
        stored, state = store.member(ref), adjudicate(history_of(world, ref.member_id), rules)
        in_use = {key: one.state for key, one in stored.accumulators.items() if one.in_use}
        assert in_use == dict(state.accumulators)
        assert {key: row.outcome for key, row in stored.visits.items()} == {
            key: visit_outcome_to(outcome) for key, outcome in state.visits.items()
        }


@searching(20)
@given(worlds(), st.sampled_from(["plan_year", "lifetime"]))
def test_what_is_counted_keeps_to_both_rules(world: Row, basis: str) -> None:
    """No needling is counted on a day with therapy before it, nor later than eight weeks into a course."""
    rules = rules_with(basis)
    for member in members_of(world):
        history = history_of(world, member)
        state = adjudicate(history, rules)
        first: dict[object, date] = {}
        for visit in sorted(history.visits, key=lambda v: v.arrival or 0):
            moved = [p for p in state.visits[visit.key].postings if p.key.limit_id == "course"]
            for posting in moved:
                if not posting.carried:
                    assert "97110" not in _done_before(history, visit)
                    assert posting.on <= first.get(posting.key, posting.on) + timedelta(days=56)
                first[posting.key] = min(posting.on, first.get(posting.key, posting.on))


def _done_before(history: History, visit: Visit) -> set[str]:
    """The codes of the day as told before this visit, from the visits themselves."""
    assert visit.content is not None
    on = visit.content.service.service_date
    return {
        line.procedure_code
        for other in history.visits
        if other.content is not None and other.arrival is not None and not other.voided
        if other.arrival < (visit.arrival or 0) and other.content.service.service_date == on
        if other.content.visit_status == "completed" and not other.content.self_pay
        for line in other.content.service.lines
    }


@searching(20)
@given(worlds(), service(st.sampled_from(DATES)), st.sampled_from(["received", "service_date"]))
def test_a_check_says_what_the_next_visit_meets(world: Row, asked: Row, order: str) -> None:
    """A check is told the codes of the day, and finds the course where counting finds it."""
    rules, history = rules_with("plan_year", order), history_of(world, MEMBERS[0])
    wanted = replace(service_of(asked), provider=Provider())
    assume(any(line.procedure_code in {"20560", "20561"} for line in wanted.lines))
    state = adjudicate(history, rules)
    on = wanted.service_date
    # Where dates make the order, the new visit may push a later one over a limit, and so on: compared
    # is what comes last.
    assume(order == "received" or not _counted_after(state, on))
    standing = MemberStanding(
        history=replace(history, visits=(), holds=()),
        accumulators=tuple(state.accumulators.values()),
        day_codes={on: SameDay(history.visits).codes_before(on)},
    )
    said = determine(rules, standing, wanted)
    last = max((visit.arrival or 0 for visit in history.visits), default=0)
    new = Visit(
        key=VisitKey(client_id="e", visit_id="asked"),
        arrival=last + 1,
        content=VisitContent(member_id=MEMBERS[0], service=wanted),
    )
    met = adjudicate(replace(history, visits=(*history.visits, new)), rules).visits[new.key]
    # Therapy beside it may be counted all the same: the decision is that of the needling.
    assert (said.decision in COVERING) == any(posting.key.limit_id == "course" for posting in met.postings)


def _counted_after(state: MemberState, on: date) -> bool:
    return any(posting.on > on for outcome in state.visits.values() for posting in outcome.postings)
