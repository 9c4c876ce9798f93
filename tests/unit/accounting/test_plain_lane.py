"""Plain visits counted without a look at the history: the same, to the byte, as by folding it."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from operator import itemgetter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.accounting.plain_lane import PlainTurns
from tests.model.bridge import Row
from tests.model.contents import content as content_of
from tests.model.memory import MemoryStore, pending_of
from tests.model.running import searching
from tests.model.worlds import worlds
from tests.rules import SimpleRules, limit_row, plain_rules

DAY = date(2026, 3, 4)


@st.composite
def _deliveries(draw: st.DrawFn) -> tuple[Row, list[list[Row]]]:
    """A world with its events in batches, mostly as they arrived; most members have nothing special.

    Those of one batch are in arrival order, as the inbox gives them.
    """
    world = draw(worlds())
    if draw(st.integers(0, 3)):
        world["overrides"], world["holds"] = [], draw(st.sampled_from([[], world["holds"]]))
        for member in world["members"].values():
            member["openings"] = []
        for row in world["rules"]["limits"]:
            row.pop("ordering", None)
        world["rules"]["ordering"] = "received"
        for event in world["events"]:
            if event["content"] and draw(st.booleans()):
                event["content"]["hold"] = None
    order = draw(st.sampled_from([world["events"], draw(st.permutations(world["events"]))]))
    batches: list[list[Row]] = []
    left = list(order)
    while left:
        size = draw(st.integers(1, 4))
        batches.append(sorted(left[:size], key=itemgetter("arrival")))
        left = left[size:]
    return world, batches


@searching(60)
@given(_deliveries())
def test_lane_and_books_come_to_the_same(delivery: tuple[Row, list[list[Row]]]) -> None:
    """Receipts, accumulators with versions, visits, holds, and the ledger with its hashes are equal (I4)."""
    world, batches = delivery
    rules = SimpleRules(world["rules"])
    quick, slow = MemoryStore(world, rules), MemoryStore(world, rules, lane=False)
    for batch in batches:
        events = [pending_of(event) for event in batch]
        assert quick.apply(events) == slow.apply(events)
        assert {ref: quick.member(ref) for ref in quick.members} == {
            ref: slow.member(ref) for ref in slow.members
        }
    assert quick.ledgers == slow.ledgers


def _recorded(number: int, on: date, **content: Any) -> Row:
    return {
        "client": "c",
        "visit_id": f"v{number}",
        "type": "visit.recorded",
        "arrival": number,
        "received_on": on,
        "content": content_of("SAMPLE-1", on, **{"npi": "1234567893", **content}),
    }


def _world(*limits: Row) -> Row:
    plan = {
        "funding": "fully_insured",
        "market": "group",
        "region": None,
        "plan_year_start": "01-01",
        "contract_start": None,
        "carry_over": "none",
    }
    member = {"spans": [{"plan": "plan-a", "start": date(2020, 1, 1), "end": None}], "openings": []}
    return {
        "plans": {"plan-a": plan},
        "members": {"SAMPLE-1": member},
        "rules": plain_rules(*limits),
        "events": [],
        "holds": [],
        "overrides": [],
        "decisions": {},
    }


def _store(*limits: Row) -> MemoryStore:
    world = _world(*limits)
    store = MemoryStore(world, SimpleRules(world["rules"]))
    store.loaded = 0
    return store


def _apply(store: MemoryStore, *events: Row) -> list[str]:
    return [result.outcome["disposition"] for result in store.apply([pending_of(event) for event in events])]


def test_plain_visits_are_counted_up_to_the_limit_without_loading_the_member() -> None:
    """The third of two allowed is over the limit, in one batch or the next, and no history was read."""
    store = _store(limit_row(allowed=2))
    days = [DAY + timedelta(days=number) for number in range(4)]
    first = _apply(store, *(_recorded(number + 1, days[number]) for number in range(3)))
    assert [*first, *_apply(store, _recorded(4, days[3]))] == [
        "counted",
        "counted",
        "over_limit",
        "over_limit",
    ]
    assert store.loaded == 0


def test_turns_are_remembered_of_the_same_rules_plans_and_enrollment_alone() -> None:
    """A visit like one before, under another rule, plan or enrollment, is counted as if it were the first."""
    turns = PlainTurns()
    of_rules = {allowed: SimpleRules(plain_rules(limit_row(allowed=allowed))) for allowed in (1, 2)}
    found = []
    for allowed, opens, ended in itertools.product((1, 2, 1), ("01-01", "07-01"), (None, DAY)):
        world = _world()
        world["plans"]["plan-a"]["plan_year_start"] = opens
        world["members"]["SAMPLE-1"]["spans"][0]["end"] = ended
        stores = [MemoryStore(world, of_rules[allowed], turns=known) for known in (turns, PlainTurns())]
        batches = [[pending_of(_recorded(n, DAY + timedelta(days=n)))] for n in (1, 2, 3)]
        remembering, anew = ([store.apply(batch) for batch in batches] for store in stores)
        assert remembering == anew
        found.append(str(anew))
    assert len(set(found)) == 5, "two rules by two plans, and one where nobody is enrolled"


def test_a_visit_that_is_not_plain_has_its_member_loaded() -> None:
    """A second visit of a date, a late arrival, a hold and an order by date are not the lane's."""
    for events in (
        [_recorded(1, DAY), _recorded(2, DAY)],
        [_recorded(5, DAY), _recorded(4, DAY + timedelta(days=1))],
        [_recorded(1, DAY, hold="h1")],
    ):
        store = _store()
        for event in events:
            _apply(store, event)
        assert store.loaded == 1
    by_date = _store({**limit_row(), "ordering": "service_date"})
    _apply(by_date, _recorded(1, DAY))
    assert by_date.loaded == 1


def test_lane_counts_behind_units_carried_from_a_limit_ordered_by_date() -> None:
    """They have their place by when their visit arrived, so the new plan's own visit finds no room."""
    world = _world(
        {**limit_row(allowed=1), "plans": ["plan-a"], "ordering": "service_date"},
        {**limit_row(allowed=1), "plans": ["plan-b"]},
    )
    changed = date(2026, 7, 1)
    world["plans"]["plan-b"] = {**world["plans"]["plan-a"], "carry_over": "all"}
    world["members"]["SAMPLE-1"]["spans"] = [
        {"plan": "plan-a", "start": date(2020, 1, 1), "end": changed},
        {"plan": "plan-b", "start": changed, "end": None},
    ]
    store = MemoryStore(world, SimpleRules(world["rules"]))
    assert _apply(store, _recorded(1, DAY)) == ["counted"]
    store.loaded = 0
    assert _apply(store, _recorded(2, changed)) == ["over_limit"]
    assert store.loaded == 0
