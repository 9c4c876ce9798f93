"""Applying events in any order and in any batches: the ledger adds up to the fold, at every version."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.accounting.book import chain_hash
from shared.accounting.codec import hold_outcome_to, visit_outcome_to
from shared.domain.accumulator import Accumulator
from shared.domain.adjudication import adjudicate
from shared.domain.records import LedgerEntry
from tests.model.bridge import Row, history_of, members_of
from tests.model.memory import MemoryStore, pending_of
from tests.model.running import searching
from tests.model.worlds import worlds
from tests.rules import SimpleRules


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Row, list[list[Row]]]:
    """A world without second `visit.recorded` events, and its events in batches of any order.

    What operators decided of duplicates is left out: the store in memory is not told.
    """
    world = {**draw(worlds()), "decisions": {}}
    seen: set[tuple[str, str]] = set()
    kept = []
    for event in world["events"]:
        name = (event["client"], event["visit_id"])
        if event["type"] != "visit.recorded" or name not in seen:
            kept.append(event)
        if event["type"] == "visit.recorded":
            seen.add(name)
    world["events"] = kept
    order = draw(st.permutations(kept))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    batches: list[list[Row]] = []
    at = 0
    while at < len(order):
        size = sizes[len(batches) % len(sizes)]
        batches.append(order[at : at + size])
        at += size
    return world, batches


@searching(25)
@given(deliveries())
def test_any_order_and_any_batches_lead_to_the_fold_of_everything(
    delivery: tuple[Row, list[list[Row]]],
) -> None:
    """Stored accumulators, visits and holds are those of one fold of the whole history (I4)."""
    world, batches = delivery
    rules = SimpleRules(world["rules"])
    store = MemoryStore(world, rules)
    for batch in batches:
        store.apply([pending_of(event) for event in batch])
    for member in members_of(world):
        ref = next(ref for ref in store.members if ref.member_id == member)
        stored, state = store.member(ref), adjudicate(history_of(world, member), rules)
        in_use = {key: one.state for key, one in stored.accumulators.items() if one.in_use}
        assert in_use == dict(state.accumulators)
        assert {key: (row.disposition, row.plan_id, row.outcome) for key, row in stored.visits.items()} == {
            key: (outcome.disposition, outcome.plan_id, visit_outcome_to(outcome))
            for key, outcome in state.visits.items()
        }
        assert {hold_id: (row.state, row.outcome) for hold_id, row in stored.holds.items()} == {
            hold_id: (outcome.state, hold_outcome_to(outcome)) for hold_id, outcome in state.holds.items()
        }


@searching(25)
@given(deliveries())
def test_ledger_adds_up_and_is_never_over_at_any_version(delivery: tuple[Row, list[list[Row]]]) -> None:
    """Entries are numbered and chained without gaps, sum to the stored counts, and none overruns (I3)."""
    world, batches = delivery
    store = MemoryStore(world, SimpleRules(world["rules"]))
    for batch in batches:
        store.apply([pending_of(event) for event in batch])
    by_member: dict[str, list[LedgerEntry]] = defaultdict(list)
    for ref, entries in store.ledgers.items():
        by_member[ref.member_id] += entries
    sums: dict[Any, list[LedgerEntry]] = defaultdict(list)
    for member, entries in by_member.items():
        head = b""
        for number, entry in enumerate(entries, start=1):
            assert entry.entry_no == number
            head = chain_hash(head, entry)
            assert entry.hash == head
            sums[member, entry.key].append(entry)
    for (ref, key), one in store.accumulators().items():
        entries = sums.pop((ref.member_id, key), [])
        assert [entry.version for entry in entries] == list(range(1, one.version + 1))
        _follow(entries, one.state)
    assert not sums


def _follow(entries: list[LedgerEntry], state: Accumulator) -> None:
    """Walk through one accumulator's versions."""
    used = held = 0
    for entry in entries:
        used, held = used + entry.used_delta, held + entry.held_delta
        assert (entry.used_after, entry.held_after) == (used, held)
        assert used >= 0
        assert held >= 0
        grows = entry.used_delta + entry.held_delta > 0
        if grows and entry.key.period.basis != "rolling_days":
            assert used + held <= entry.allowed
    assert (used, held) == (state.used, state.held)


@searching(25)
@given(deliveries())
def test_every_unit_of_used_has_a_visit_or_an_opening_balance_behind_it(
    delivery: tuple[Row, list[list[Row]]],
) -> None:
    """The postings of visits and what was opened with make up each accumulator's `used` (I14)."""
    world, batches = delivery
    store = MemoryStore(world, SimpleRules(world["rules"]))
    for batch in batches:
        store.apply([pending_of(event) for event in batch])
    for ref in store.members:
        explained: dict[tuple[Any, ...], int] = defaultdict(int)
        for row in store.member(ref).visits.values():
            for posting in row.outcome["postings"]:
                name = (posting["plan_id"], posting["limit_id"], *sorted(posting["period"].items()))
                explained[name] += posting["units"]
        for key, one in store.member(ref).accumulators.items():
            period = {
                "basis": key.period.basis,
                "start": key.period.start.isoformat(),
                "end": key.period.end.isoformat(),
                **({"subject": key.period.subject} if key.period.subject else {}),
            }
            name = (key.plan_id, key.limit_id, *sorted(period.items()))
            assert explained.pop(name, 0) + one.state.opening == one.state.used
        assert not any(explained.values())


@searching(25)
@given(deliveries())
def test_receipts_tell_what_was_used_before_and_after(delivery: tuple[Row, list[list[Row]]]) -> None:
    """An event's receipt shows, for each accumulator of its visit, the stored counts around it."""
    world, batches = delivery
    store = MemoryStore(world, SimpleRules(world["rules"]))
    for event in (event for batch in batches for event in batch):
        before = _used(store)
        (result,) = store.apply([pending_of(event)])
        after = _used(store)
        for shown in result.outcome["accumulators"]:
            name = (shown["plan_id"], shown["limit_id"], str(shown["period"]))
            assert shown["used_before"] in before.get(name, {0})
            assert shown["used_after"] in after.get(name, {0})


def _used(store: MemoryStore) -> dict[tuple[str, str, str], set[int]]:
    """What is used under each name that a receipt shows; both members' where they share one."""
    used: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for (_, key), one in store.accumulators().items():
        shown = {
            "basis": key.period.basis,
            "start": key.period.start.isoformat(),
            "end": key.period.end.isoformat(),
        }
        if key.period.subject:
            shown["subject"] = key.period.subject
        if key.period.start.year == 1:
            shown |= {"start": None, "end": None}
        used[key.plan_id, key.limit_id, str(shown)].add(one.state.used)
    return {name: counts | {0} for name, counts in used.items()}


@searching(25)
@given(worlds())
def test_no_window_of_a_rolling_limit_is_ever_over(world: Row) -> None:
    """Shared and held units of any window stay within the most that any of them was counted under (I3)."""
    rules = SimpleRules(world["rules"])
    lengths = {row["limit_id"]: row["rolling_days"] for row in world["rules"]["limits"]}
    for member in members_of(world):
        for key, state in adjudicate(history_of(world, member), rules).accumulators.items():
            if key.period.basis != "rolling_days":
                continue
            days = [(day.on, day.shared) for day in state.days] + list(state.held_days)
            for last, _ in days:
                first = last - timedelta(days=lengths[key.limit_id] - 1)
                assert (
                    sum(units for day, units in days if first <= day <= last) <= state.allowed - state.granted
                )
