"""A wake-up: applied, projected, and nothing left for the sweep."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
import redis

from services.counter_worker.ports import Tools
from services.counter_worker.usecases.drain_shard import (
    BACKLOG_EVENTS,
    BUSY_EVENTS,
    TURN_SECONDS,
    WOKEN_BY_BACKLOG,
    drain_shard,
)
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.adapters.redis.wake_flags import RedisWakeFlags
from shared.domain.records import MemberRef
from shared.messages import shard_of, wake_flag
from tests.counter_images import HASH_KEY
from tests.offices import MakeTools, Office

#: Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"


def shard_for(ref: MemberRef) -> int:
    """The shard of a member."""
    return shard_of(ref.payer_id, ref.member_id)


def test_visit_is_counted_and_shown(office: Office, tools: Tools) -> None:
    """After a wake-up the counter shows what the accumulator says, and nothing is queued."""
    [ref] = office.enroll()
    office.accept([ref], visits=3)
    assert drain_shard(tools, shard_for(ref)) == []
    shown = tools.counters.read([ref])[ref]
    assert [(one.state.used, one.state.allowed) for one in shown.accumulators] == [(3, 20)]
    assert office.used() == {ref.member_id: 3}
    assert office.rows("select * from counter_outbox") == []


def test_shown_counter_equals_the_one_loaded_from_postgres(office: Office, tools: Tools) -> None:
    """What the drain shows and what a sweep would show of the same state is the same."""
    [ref] = office.enroll()
    office.accept([ref], visits=2)
    drain_shard(tools, shard_for(ref))
    with tools.store.transaction(("*",)) as tx:
        assert tools.counters.read([ref]) == {image.ref: image for image in tx.outbox.images([ref])}


def test_repeated_wake_up_changes_nothing(office: Office, tools: Tools) -> None:
    """A wake-up that the broker delivers twice finds nothing to do."""
    [ref] = office.enroll()
    office.accept([ref])
    for _ in range(2):
        drain_shard(tools, shard_for(ref))
    assert office.used() == {ref.member_id: 1}
    assert tools.counters.read([ref])[ref].version == 1


def test_wake_flag_is_lowered(office: Office, tools: Tools, redis_url: str) -> None:
    """Whoever commits an event from now on sends a wake-up again."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(wake_flag(7), b"1")
        drain_shard(tools, 7)
        assert not client.exists(wake_flag(7))


def test_one_wake_up_answers_those_of_other_shards(office: Office, tools: Tools, redis_url: str) -> None:
    """Shards whose wake-ups are on their way are drained with the first, their flags lowered."""
    refs = office.enroll(5)
    office.accept(refs)
    with redis.Redis.from_url(redis_url) as client:
        for ref in refs:
            client.set(wake_flag(shard_for(ref)), b"1")
        drain_shard(tools, shard_for(refs[0]))
        assert office.used() == {ref.member_id: 1 for ref in refs}
        assert not client.exists(*(wake_flag(shard_for(ref)) for ref in refs))


@dataclass(frozen=True, slots=True)
class AcceptingFlags:
    """At the moment the flags are lowered, somebody commits a visit who had still seen one raised."""

    office: Office
    ref: MemberRef

    def lower_raised(self) -> list[int]:
        """Commit the visit."""
        self.office.accept([self.ref])
        return []


def test_flag_is_lowered_before_the_shard_is_looked_at(office: Office, make_tools: MakeTools) -> None:
    """A visit that was committed while the flag was still up is found by this wake-up."""
    [ref] = office.enroll()
    drain_shard(make_tools(flags=AcceptingFlags(office, ref)), shard_for(ref))
    assert office.used() == {ref.member_id: 1}


def test_backlog_is_drained_batch_by_batch(office: Office, make_tools: MakeTools) -> None:
    """One wake-up applies as many batches as its turn allows."""
    [ref] = office.enroll()
    office.accept([ref], visits=10)
    assert drain_shard(make_tools(batch_max=3), shard_for(ref)) == []
    assert office.pending() == 0


@pytest.mark.parametrize(
    ("events", "batch_max"), [(BUSY_EVENTS, 1_000), (BACKLOG_EVENTS, 1_000), (3, 3)], ids=str
)
def test_a_full_batch_has_the_other_shards_looked_at(
    office: Office, make_tools: MakeTools, events: int, batch_max: int
) -> None:
    """One wake-up is enough for all that waits, whose own wake-ups are late; counters are shown too."""
    tools = make_tools(batch_max=batch_max)
    [ref, *others] = office.enroll(20)
    office.accept([ref], visits=events)
    office.accept(others, visits=2)
    assert drain_shard(tools, shard_for(ref)) == []
    assert office.pending() == 0
    assert office.used() == {ref.member_id: min(events, 20), **{other.member_id: 2 for other in others}}
    assert tools.counters.read([ref, *others]).keys() == {ref, *others}


def test_backlog_is_told_by_the_flags_that_are_up(
    office: Office, make_tools: MakeTools, redis_url: str
) -> None:
    """Where many flags are up and more than a batch waits everything is applied, once, and shown."""
    refs = office.enroll(60)
    shards = {shard_for(ref) for ref in refs}
    assert len(shards) >= WOKEN_BY_BACKLOG
    office.accept(refs, visits=2)
    with redis.Redis.from_url(redis_url) as client:
        for shard in shards:
            client.set(wake_flag(shard), b"1")
    tools = make_tools(batch_max=30)
    assert drain_shard(tools, shard_for(refs[0])) == []
    assert office.used() == {ref.member_id: 2 for ref in refs}
    assert tools.counters.read(refs).keys() == set(refs)


def test_backlog_is_looked_for_when_the_wake_up_itself_has_waited(
    office: Office, make_tools: MakeTools
) -> None:
    """Flags expire while a wake-up waits: it drains what waits in all shards, though no flag says so."""
    refs = office.enroll(20)
    office.accept(refs, visits=2)
    tools = make_tools(batch_max=30)
    assert drain_shard(tools, shard_for(refs[0])) == []
    assert office.used() == {ref.member_id: 2 for ref in refs}
    assert tools.counters.read(refs).keys() == set(refs)


def test_turn_ends_and_asks_to_come_back(office: Office, make_tools: MakeTools) -> None:
    """A shard with more than a turn's work lets the others go on."""
    [ref] = office.enroll()
    office.accept([ref], visits=10)
    ticks = itertools.count(step=TURN_SECONDS / 2)
    slow = make_tools(batch_max=3, monotonic=lambda: float(next(ticks)))
    assert drain_shard(slow, shard_for(ref)) == [shard_for(ref)]
    assert 0 < office.pending() < 10


def test_events_are_applied_while_redis_is_away(office: Office, make_tools: MakeTools) -> None:
    """Postgres decides: without Redis visits are counted all the same, and their counters wait."""
    [ref] = office.enroll()
    office.accept([ref], visits=2)
    client = connect(NOWHERE)
    tools = make_tools(counters=RedisCounters(client, hash_key=HASH_KEY), flags=RedisWakeFlags(client))
    drain_shard(tools, shard_for(ref))
    assert office.used() == {ref.member_id: 2}
    assert office.rows("select member_id, version from counter_outbox") == [(ref.member_id, 1)]
    with tools.totals.taken() as counts:
        assert counts == {"events_applied": 2, "projections_failed": 1}
