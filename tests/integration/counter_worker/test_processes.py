"""Worker and beat as processes: whatever is killed or frozen beside them, or of them, the work gets done."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from celery import Celery
from kombu.exceptions import KombuError

from services.counter_worker.usecases.sweep import BEAT
from shared.adapters.celery_broker import configure_broker
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.domain.errors import StoreUnavailable
from shared.domain.records import MemberRef
from shared.messages import DRAIN_SHARD, shard_of, wake_flag
from tests.counter_images import HASH_KEY
from tests.offices import Office, open_office
from tests.servers import Postgres, Server
from tests.waiting import wait_for
from tests.worker_process import beat, worker

SHARD = 7


def wake(redis_url: str, shards: Iterable[int]) -> None:
    """Send a wake-up for each of these shards."""
    app = Celery("test", set_as_current=False)
    configure_broker(app, urlsplit(redis_url)._replace(path="/1").geturl(), answer_seconds=1.0)
    for shard in shards:
        app.send_task(DRAIN_SHARD, (shard,))
    app.close()


def consumes(redis_url: str) -> bool:
    """Whether wake-ups reach a worker, who lowers their flag; one of them may be lost with a connection."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(wake_flag(SHARD), b"1")

        def arrived() -> bool:
            with contextlib.suppress(redis.RedisError, KombuError):
                wake(redis_url, [SHARD])
                return not client.exists(wake_flag(SHARD))
            return False

        wait_for(arrived)
    return True


def shows(redis_url: str, refs: list[MemberRef], used: int) -> bool:
    """Whether the counters of all these members show so many used."""
    with connect(redis_url) as client:
        found = RedisCounters(client, hash_key=HASH_KEY).read(refs)
    return all(ref in found and found[ref].accumulators[0].state.used == used for ref in refs)


def test_wake_up_is_consumed_and_its_events_are_counted_and_shown(
    office: Office, redis_url: str, tmp_path: Path
) -> None:
    """The whole way: broker, drain, ledger, counter; no key tells who it is about; asked to stop, it ends."""
    refs = office.enroll(5)
    with worker(office.url, redis_url, tmp_path).running() as process:
        office.accept(refs, visits=2)
        assert consumes(redis_url)
        wait_for(lambda: shows(redis_url, refs, 2))
        wait_for(lambda: office.rows("select * from counter_outbox") == [])
        # A supervisor's request is followed.
        assert process.stop() == 0
    for database in (0, 1):
        with redis.Redis.from_url(urlsplit(redis_url)._replace(path=f"/{database}").geturl()) as client:
            assert not [key for key in client.keys("*") if not key.startswith((b"needlecap:", b"nc:"))]
            assert not client.keys("*SAMPLE*")


@pytest.mark.parametrize("trouble", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_events_are_applied_without_redis_and_the_worker_goes_on_with_it(
    office: Office, own_valkey: Server, tmp_path: Path, trouble: signal.Signals
) -> None:
    """Redis gone or silent: visits are counted. Redis back: the same process consumes again."""
    refs = office.enroll(3)
    with worker(office.url, own_valkey.url, tmp_path).running() as process:
        for visits in (1, 2):
            assert consumes(own_valkey.url)
            os.kill(own_valkey.pid, trouble)
            if trouble == signal.SIGKILL:
                own_valkey.stop()
            office.accept(refs)
            wait_for(lambda: office.pending() == 0)
            assert office.used() == {ref.member_id: visits for ref in refs}
            if trouble == signal.SIGKILL:
                own_valkey.start()
            else:
                os.kill(own_valkey.pid, signal.SIGCONT)
            wait_for(partial(shows, own_valkey.url, refs, visits))
        assert consumes(own_valkey.url)
        assert process.runs()


def test_acknowledgement_that_fails_does_not_leave_the_worker_deaf(
    office: Office, own_valkey: Server, tmp_path: Path
) -> None:
    """Redis freezes while a task runs, so that its end cannot be told: later tasks come all the same."""
    [ref] = office.enroll()
    with worker(office.url, own_valkey.url, tmp_path).running() as process:
        assert consumes(own_valkey.url)
        office.accept([ref])
        with psycopg.connect(office.url) as lock:
            lock.execute("select from member where member_id = %s for update", [ref.member_id])
            wake(own_valkey.url, [shard_of(ref.payer_id, ref.member_id)])
            wait_for(lambda: office.rows("select from pg_locks where not granted"))
            os.kill(own_valkey.pid, signal.SIGSTOP)
        wait_for(lambda: "TimeoutError" in process.log)
        os.kill(own_valkey.pid, signal.SIGCONT)
        assert consumes(own_valkey.url)
        assert process.runs()
    assert office.used() == {ref.member_id: 1}


def test_worker_goes_on_after_postgres_was_killed(
    own_postgres: Postgres, redis_url: str, tmp_path: Path
) -> None:
    """Postgres gone and back: the same process goes on, and nothing is lost or counted twice."""
    office = open_office(own_postgres.server.url)
    refs = office.enroll(3)
    with worker(office.url, redis_url, tmp_path).running() as process:
        office.accept(refs, visits=5)
        wait_for(lambda: office.pending() == 0)
        office.accept(refs, visits=5)
        os.kill(own_postgres.server.pid, signal.SIGKILL)
        own_postgres.server.stop()
        own_postgres.server.start()
        wait_for(lambda: answers(office))
        wait_for(lambda: office.pending() == 0)
        assert office.used() == {ref.member_id: 10 for ref in refs}
        assert process.runs()
    office.database.close()


def answers(office: Office) -> bool:
    """Whether Postgres answers."""
    try:
        with office.database.transaction(("*",)) as tx:
            return tx.jobs.now() is not None
    except StoreUnavailable:
        return False


def has_at_most(office: Office, pending: int) -> bool:
    """Whether at most so many events wait."""
    return office.pending() <= pending


def test_killed_worker_leaves_nothing_undone_and_nothing_done_twice(
    office: Office, redis_url: str, tmp_path: Path
) -> None:
    """Killed again and again in the middle of a backlog, each event counts once in the end."""
    refs = office.enroll(40)
    office.accept(refs, visits=15)
    process = worker(office.url, redis_url, tmp_path)
    shards = {shard_of(ref.payer_id, ref.member_id) for ref in refs}
    for left in (400, 200):
        wake(redis_url, shards)
        with process.running():
            wait_for(partial(has_at_most, office, left))
            process.kill()
    with process.running():
        wait_for(lambda: office.pending() == 0)
        wait_for(lambda: shows(redis_url, refs, 15))
    assert office.used() == {ref.member_id: 15 for ref in refs}
    assert office.rows("select count(*) from ledger_entry") == [(40 * 15,)]


def test_beat_has_the_worker_sweep_and_comes_back_with_redis(
    office: Office, own_valkey: Server, tmp_path: Path
) -> None:
    """Beat's sweeps arrive, and arrive again after Redis was killed and started."""

    def beats() -> bool:
        office.change("delete from worker_job where job = %s", BEAT)
        wait_for(lambda: office.rows("select job from worker_job where job = %s", BEAT), limit_seconds=20)
        return True

    with (
        worker(office.url, own_valkey.url, tmp_path).running() as working,
        beat(office.url, own_valkey.url, tmp_path).running() as beating,
    ):
        assert beats()
        os.kill(own_valkey.pid, signal.SIGKILL)
        own_valkey.stop()
        own_valkey.start()
        assert beats()
        assert working.runs()
        assert beating.stop() == 0
