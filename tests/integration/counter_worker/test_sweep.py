"""The sweep finds what no wake-up told of, once, and leaves a sign of life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis

from services.counter_worker.ports import Tools
from services.counter_worker.usecases.project_counters import CHUNK, project, project_waiting
from services.counter_worker.usecases.sweep import BEAT, sweep
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.domain.records import CounterImage, MemberRef
from shared.messages import SWEEP, shard_of
from shared.ports import DisposableCounters
from tests.counter_images import HASH_KEY, image
from tests.offices import MakeTools, Office
from tests.waiting import wait_for


def age_queue(office: Office) -> None:
    """Make every queued counter a minute older than it is."""
    office.change("update counter_outbox set queued_at = queued_at - interval '1 minute'")


def away() -> RedisCounters:
    """Counters on a server that is not there."""
    return RedisCounters(connect("redis://127.0.0.1:1/0"), hash_key=HASH_KEY)


def test_events_of_many_shards_are_found_without_any_wake_up(office: Office, tools: Tools) -> None:
    """Everything pending is applied and shown, in whatever shard it is."""
    refs = office.enroll(150)
    office.accept(refs)
    # The clock stands, so that the turn ends with the work and not with the patience of a busy machine.
    assert sweep(replace(tools, monotonic=lambda: 0.0))
    assert office.pending() == 0
    assert office.used() == {ref.member_id: 1 for ref in refs}
    assert set(tools.counters.read(refs)) == set(refs)


def test_second_sweep_finds_nothing_to_do(office: Office, tools: Tools) -> None:
    """Run twice, it counts once."""
    refs = office.enroll(3)
    office.accept(refs, visits=2)
    assert sweep(tools)
    before = office.rows("select * from ledger_entry order by member_id, entry_no")
    assert sweep(tools)
    assert office.rows("select * from ledger_entry order by member_id, entry_no") == before


def test_only_one_sweeps_at_a_time(office: Office, tools: Tools) -> None:
    """While one worker sweeps the others leave it to do so."""
    office.accept(office.enroll())
    with office.database.transaction(("*",)) as other:
        assert other.jobs.claim(SWEEP)
        assert sweep(tools) is False
        assert office.pending() == 1
    assert sweep(tools) is True


def test_shards_are_left_to_the_threads_of_a_backlog(office: Office, tools: Tools) -> None:
    """While this process drains everything a sweep does the rest: what is queued is shown."""
    [waiting, queued] = office.enroll(2)
    office.accept([waiting])
    office.change("insert into counter_outbox values (%s, %s, 0)", queued.payer_id, queued.member_id)
    age_queue(office)
    with tools.backlog:
        assert sweep(tools)
    assert office.pending() == 1
    assert set(tools.counters.read([waiting, queued])) == {queued}
    assert sweep(tools)
    assert office.pending() == 0


def test_sweeps_and_wake_ups_of_several_workers_count_once(office: Office, make_tools: MakeTools) -> None:
    """However many drain at once, each event is applied once and no limit is passed."""
    refs = office.enroll(20)
    office.accept(refs, visits=22)
    with ThreadPoolExecutor() as pool:
        for swept in [pool.submit(sweep, make_tools(batch_max=50)) for _ in range(4)]:
            swept.result()
    while office.pending():
        assert sweep(make_tools())
    assert office.used() == {ref.member_id: 20 for ref in refs}


def test_members_to_fold_again_are_folded(office: Office, tools: Tools) -> None:
    """A refold that was asked for is done though no event waits."""
    [ref] = office.enroll()
    office.accept([ref], visits=2)
    sweep(tools)
    office.change("delete from enrollment")
    office.change(
        "insert into refold_request (payer_id, member_id, shard, reason) values (%s, %s, %s, 'enrollment')",
        ref.payer_id,
        ref.member_id,
        shard_of(ref.payer_id, ref.member_id),
    )
    sweep(tools)
    assert office.rows("select * from refold_request") == []
    assert office.used() == {ref.member_id: 0}


def test_event_that_failed_waits_until_it_is_due(office: Office, make_tools: MakeTools) -> None:
    """An event is not tried again before its time, and is once it has come."""
    now = datetime.now(UTC)
    office.accept(office.enroll())
    office.change("update visit_event_waiting set retry_at = %s", now + timedelta(seconds=60))
    sweep(make_tools(clock=lambda: now))
    assert office.pending() == 1
    sweep(make_tools(clock=lambda: now + timedelta(seconds=61)))
    assert office.pending() == 0


def test_counters_that_nobody_projected_are_projected(office: Office, make_tools: MakeTools) -> None:
    """What was committed while Redis was away is shown by the first sweep that finds it back (I5)."""
    refs = office.enroll(3)
    office.accept(refs, visits=2)
    sweep(make_tools(counters=away()))
    age_queue(office)
    tools = make_tools()
    assert tools.counters.read(refs) == {}
    sweep(tools)
    shown = tools.counters.read(refs)
    assert [shown[ref].accumulators[0].state.used for ref in refs] == [2, 2, 2]
    assert office.rows("select * from counter_outbox") == []


def test_fresh_counters_are_left_to_their_drainer(office: Office, make_tools: MakeTools) -> None:
    """What was queued this moment is being projected by whoever queued it."""
    office.accept(office.enroll())
    sweep(make_tools(counters=away()))
    office.change("update counter_outbox set queued_at = now() + interval '1 minute'")
    assert project_waiting(make_tools()) == 0


def test_more_counters_than_one_chunk_are_projected_in_one_sweep(office: Office, tools: Tools) -> None:
    """A long queue is worked off chunk by chunk."""
    refs = office.enroll(CHUNK + 20)
    office.change(
        "insert into counter_outbox (payer_id, member_id, version) select payer_id, member_id, 0 from member"
    )
    age_queue(office)
    assert project_waiting(tools) == len(refs)
    assert office.rows("select * from counter_outbox") == []


def test_member_that_changed_again_stays_queued(office: Office, tools: Tools) -> None:
    """Taking a projected version off the queue does not take a newer one with it."""
    [ref] = office.enroll()
    office.accept([ref])
    sweep(tools)
    office.change(
        "insert into counter_outbox (payer_id, member_id, version) values (%s, %s, 9)",
        ref.payer_id,
        ref.member_id,
    )
    with office.database.transaction(("*",)) as tx:
        tx.outbox.forget([image(ref, 8)])
        tx.commit()
    assert office.rows("select version from counter_outbox") == [(9,)]


def test_taking_counters_off_the_queue_keeps_nobody_from_changing_their_members(
    office: Office, tools: Tools
) -> None:
    """Who waits for a member that is being changed gives back what the change is about to queue."""
    refs = office.enroll(2)
    office.accept(refs)
    sweep(tools)
    old = list(tools.counters.read(refs).values())
    office.accept(refs[1:])
    sweep(tools)
    office.change("insert into counter_outbox select payer_id, member_id, version from member")
    with ThreadPoolExecutor(1) as other, psycopg.connect(office.url) as connection:
        # As a drain does it: the members are locked first, and queued before the commit.
        connection.execute("select from member for no key update")
        connection.execute("set local lock_timeout = '500ms'")
        forgetting = other.submit(project, tools, old)
        wait_for(lambda: office.rows("select 1 from pg_locks where not granted"))
        connection.execute("update member set version = 9")
        connection.execute("update counter_outbox set version = 9")
        connection.commit()
        assert forgetting.result()
    assert office.rows("select version from counter_outbox") == [(9,), (9,)]


def test_late_writer_after_a_flush_is_overtaken_by_the_next_sweep(
    office: Office, tools: Tools, redis_url: str
) -> None:
    """An old counter that a stalled writer puts into an emptied Redis stands until the next sweep (I5)."""
    [ref] = office.enroll()
    office.accept([ref])
    sweep(tools)
    [stalled] = tools.counters.read([ref]).values()
    office.accept([ref])
    sweep(tools)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    project(tools, [stalled])
    assert tools.counters.read([ref])[ref].accumulators[0].state.used == 1
    age_queue(office)
    sweep(tools)
    assert tools.counters.read([ref])[ref].accumulators[0].state.used == 2
    assert office.rows("select * from counter_outbox") == []


def test_flushed_redis_changes_no_count(office: Office, tools: Tools, redis_url: str) -> None:
    """Every key gone in the middle: counting goes on from Postgres, and the counter comes back with it."""
    [ref] = office.enroll()
    office.accept([ref], visits=2)
    sweep(tools)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    office.accept([ref])
    sweep(tools)
    assert tools.counters.read([ref])[ref].accumulators[0].state.used == 3


def test_sign_of_life_and_totals_are_left(office: Office, tools: Tools) -> None:
    """After a sweep the database says when it was and what was done, once."""
    office.accept(office.enroll(2))
    sweep(tools)
    sweep(tools)
    with office.database.transaction(("*",)) as tx:
        since = tx.jobs.seconds_since(SWEEP)
        assert tx.jobs.seconds_since(BEAT) is None
        assert tx.jobs.totals() == {"events_applied": 2, "counters_projected": 2}
    assert since is not None
    assert 0 <= since < 30


def test_sweep_that_beat_asked_for_is_beats_sign_of_life(office: Office, tools: Tools) -> None:
    """Beat is known to live by the sweeps that it asked for."""
    sweep(tools, from_beat=True)
    with office.database.transaction(("*",)) as tx:
        assert tx.jobs.seconds_since(BEAT) is not None


@dataclass(frozen=True, slots=True)
class BrokenForOne:
    """Counters with a bug that befalls one member."""

    counters: DisposableCounters
    ref: MemberRef

    def project(self, images: Sequence[CounterImage]) -> None:
        """Fail for the one member."""
        if any(image.ref == self.ref for image in images):
            raise ValueError("a bug")
        self.counters.project(images)

    def read(self, refs: Sequence[MemberRef]) -> Mapping[MemberRef, CounterImage]:
        """Read as ever."""
        return self.counters.read(refs)

    def forget(self, refs: Sequence[MemberRef]) -> None:
        """Forget as ever."""
        self.counters.forget(refs)


def test_shard_that_fails_does_not_keep_the_others_waiting(office: Office, make_tools: MakeTools) -> None:
    """Whatever befalls one shard, the others are drained; then it is said."""
    refs = office.enroll(30)
    office.accept(refs)
    tools = make_tools()
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            sweep(make_tools(counters=BrokenForOne(tools.counters, refs[0])))
        age_queue(office)
    assert office.used() == {ref.member_id: 1 for ref in refs}
    with office.database.transaction(("*",)) as tx:
        assert tx.jobs.seconds_since(SWEEP) is not None
