"""Counters keep their promises, on the stand-in for Redis and on a real Valkey alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.redis.connection import connect
from shared.adapters.redis.counter_format import encode
from shared.adapters.redis.counters import CHUNK, RedisCounters
from shared.adapters.redis.keys import counter_key
from shared.domain.benefit_period import UNBOUNDED_END, UNBOUNDED_START, BenefitPeriod
from shared.domain.records import CounterImage, MemberRef
from tests.counter_images import HASH_KEY, image, new_ref, stored

_DAY = 24 * 3600

# Each example speaks of a member of its own, so that they may share the server.
on_shared_server = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["fakeredis", "valkey"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """An empty server."""
    made: redis.Redis
    if request.param == "fakeredis":
        made = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    else:
        made = connect(request.getfixturevalue("redis_url"))
    with made:
        yield made


@pytest.fixture
def counters(client: redis.Redis) -> RedisCounters:
    """Counters on that server."""
    return RedisCounters(client, hash_key=HASH_KEY)


def key_of(ref: MemberRef) -> str:
    """Where a member's counter lies."""
    return counter_key(HASH_KEY, ref)


def test_projected_image_is_read_back_equal(counters: RedisCounters) -> None:
    """What is shown is what was projected, and an unknown member is not there."""
    shown, unknown = image(new_ref(), 7), new_ref()
    counters.project([shown])
    assert counters.read([shown.ref, unknown]) == {shown.ref: shown}


def test_thousands_of_members_go_in_one_call(counters: RedisCounters) -> None:
    """More members than fit into one round trip are all projected and all read."""
    shown = [image(new_ref(), number) for number in range(1, 2 * CHUNK + 2)]
    counters.project(shown)
    assert counters.read([one.ref for one in shown]) == {one.ref: one for one in shown}


def test_nothing_is_projected_and_read_without_members(counters: RedisCounters) -> None:
    """Empty calls are allowed and do nothing."""
    counters.project([])
    assert counters.read([]) == {}


@pytest.mark.parametrize("late", [1, 8, 9])
def test_version_that_is_not_newer_changes_nothing(counters: RedisCounters, late: int) -> None:
    """A stalled writer that comes back with what it had, or with as much, does not set the counter back."""
    ref = new_ref()
    counters.project([image(ref, 9)])
    counters.project([image(ref, late, used=3)])
    assert counters.read([ref]) == {ref: image(ref, 9)}


def test_versions_compare_as_numbers(counters: RedisCounters) -> None:
    """Each byte of a version counts, up to the largest there can be."""
    ref = new_ref()
    versions = [0, 1, 9, 10, 255, 256, 65_536, 2**31, 2**32 + 1, 2**48 - 2, 2**48 - 1]
    for version in versions:
        counters.project([image(ref, version, used=1)])
        assert counters.read([ref])[ref].version == version


@on_shared_server
@given(versions=st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=30))
def test_counter_never_goes_back(counters: RedisCounters, versions: list[int]) -> None:
    """After each write, in whatever order they come, the highest version so far is there."""
    ref = new_ref()
    for count, version in enumerate(versions, start=1):
        counters.project([image(ref, version)])
        highest = max(versions[:count])
        assert counters.read([ref]) == {ref: image(ref, highest)}


@settings(on_shared_server, max_examples=15)
@given(writers=st.lists(st.permutations(range(1, 13)), min_size=2, max_size=5))
def test_counter_never_goes_back_under_writers_at_once(
    counters: RedisCounters, writers: list[list[int]]
) -> None:
    """A reader beside several writers sees versions rise only, and the highest in the end."""
    ref = new_ref()
    done = threading.Event()

    def watch() -> list[int]:
        seen = [0]
        while not done.is_set():
            seen += [found.version for found in counters.read([ref]).values()]
        return seen

    def write(versions: list[int]) -> None:
        for version in versions:
            counters.project([image(ref, version)])

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(watch)
        try:
            for writing in [pool.submit(write, versions) for versions in writers]:
                writing.result()
        finally:
            done.set()
        seen = watching.result()
    assert seen == sorted(seen)
    assert counters.read([ref]) == {ref: image(ref, 12)}


def test_flushed_counter_is_absent_until_projected_again(
    counters: RedisCounters, client: redis.Redis
) -> None:
    """After FLUSHALL nothing is there, and the same version can be written anew (I5)."""
    ref = new_ref()
    counters.project([image(ref, 4)])
    client.flushall()
    assert counters.read([ref]) == {}
    counters.project([image(ref, 4)])
    assert counters.read([ref]) == {ref: image(ref, 4)}


def garbage() -> dict[str, bytes]:
    """Values that are no counters, some of which look newer than any."""
    newest = encode(image(new_ref(), 2**40))
    broken = bytearray(newest)
    broken[len(broken) // 2] ^= 0xFF
    return {
        "empty": b"",
        "text": b"not a counter, but long enough to be taken for one",
        "number": b"17",
        "cut off": newest[:-1],
        "only a head": newest[:7],
        "head and sum": newest[:7] + newest[-4:],
        "a byte changed": bytes(broken),
        "another format": bytes([newest[0] + 1]) + newest[1:],
        "too long": newest + b"\x00",
    }


@pytest.mark.parametrize("kind", list(garbage()))
def test_garbage_reads_as_absent_and_is_overwritten(
    counters: RedisCounters, client: redis.Redis, kind: str
) -> None:
    """What cannot be read does not stand in the way of what can."""
    ref, other = new_ref(), new_ref()
    client.set(key_of(ref), garbage()[kind])
    counters.project([image(other, 1)])
    assert counters.read([ref, other]) == {other: image(other, 1)}
    counters.project([image(ref, 2)])
    assert counters.read([ref]) == {ref: image(ref, 2)}


def test_key_of_another_type_reads_as_absent_and_is_overwritten(
    counters: RedisCounters, client: redis.Redis
) -> None:
    """A list or a hash at a counter's key is no counter either."""
    refs = [new_ref(), new_ref(), new_ref()]
    client.rpush(key_of(refs[0]), b"x")
    client.hset(key_of(refs[1]), "x", "y")
    assert counters.read(refs) == {}
    counters.project([image(ref, 3) for ref in refs])
    assert counters.read(refs) == {ref: image(ref, 3) for ref in refs}


def test_script_that_the_server_forgot_is_loaded_again(counters: RedisCounters, client: redis.Redis) -> None:
    """A restarted or failed-over server knows no script, and counters are projected all the same."""
    ref = new_ref()
    counters.project([image(ref, 1)])
    client.script_flush()
    counters.project([image(ref, 2)])
    assert counters.read([ref]) == {ref: image(ref, 2)}


@pytest.mark.parametrize(
    ("today", "days"),
    [
        # The one period of these counters ends with the year 2026.
        (date(2026, 12, 1), 31 + 90),
        (date(2027, 1, 1), 90),
        (date(2030, 3, 4), 90),
        (date(2024, 3, 4), 400),
    ],
)
def test_counter_lives_some_time_beyond_the_end_of_its_last_period(
    client: redis.Redis, today: date, days: int
) -> None:
    """Old counters go by themselves, soon after few ask for them; each write renews a counter's life."""
    counters, ref = RedisCounters(client, hash_key=HASH_KEY, today=lambda: today), new_ref()
    counters.project([image(ref, 1)])
    assert days * _DAY - 60 < client.ttl(key_of(ref)) <= days * _DAY
    client.expire(key_of(ref), 100)
    counters.project([image(ref, 2)])
    assert client.ttl(key_of(ref)) > days * _DAY - 60


def test_counter_without_an_end_lives_long_and_not_for_ever(
    counters: RedisCounters, client: redis.Redis
) -> None:
    """What has no end, or shows nothing, goes when nothing changed it for four hundred days."""
    lifetime = BenefitPeriod(basis="lifetime", start=UNBOUNDED_START, end=UNBOUNDED_END)
    one = stored()
    endless = replace(one, state=replace(one.state, key=replace(one.state.key, period=lifetime)))
    for accumulators in ((), (one, endless)):
        ref = new_ref()
        counters.project([CounterImage(ref=ref, version=1, accumulators=accumulators)])
        assert 400 * _DAY - 60 < client.ttl(key_of(ref)) <= 400 * _DAY


def test_forgotten_counter_is_absent(counters: RedisCounters) -> None:
    """Forgetting deletes the named members' counters and no others."""
    gone, kept = image(new_ref(), 5), image(new_ref(), 5)
    counters.project([gone, kept])
    counters.forget([gone.ref, new_ref()])
    assert counters.read([gone.ref, kept.ref]) == {kept.ref: kept}
