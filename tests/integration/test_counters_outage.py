"""Redis away, stuck, slow or full: counters say so soon, and are there again when it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
import redis

from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import PAUSE_SECONDS, RedisCounters
from shared.adapters.redis.keys import counter_key
from shared.domain.errors import CountersUnavailable
from tests.counter_images import HASH_KEY, image, new_ref
from tests.proxy import Proxy
from tests.servers import Server
from tests.waiting import wait_for

PATIENCE_SECONDS = 2.5


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    """A proxy before the suite's Valkey, passing everything on so far."""
    parts = urlsplit(redis_url)
    with Proxy(parts.hostname or "", parts.port or 0).running() as running:
        yield running


@pytest.fixture
def counters(redis_url: str, proxy: Proxy) -> RedisCounters:
    """Counters that reach their server through the proxy."""
    parts = urlsplit(redis_url)
    through = parts._replace(netloc=f":{parts.password}@127.0.0.1:{proxy.port}").geturl()
    return RedisCounters(connect(through), hash_key=HASH_KEY)


def seconds_until_refusal(call: Callable[[], object]) -> float:
    """How long a call takes to say that counters are unavailable."""
    began = time.monotonic()
    with pytest.raises(CountersUnavailable):
        call()
    return time.monotonic() - began


def break_down(proxy: Proxy, trouble: str) -> None:
    """Have the proxy make the named trouble from now on."""
    if trouble == "slow":
        proxy.delay_seconds = 3.0
    elif trouble == "half-open":
        proxy.manner = "hold"
    else:
        proxy.manner = "refuse"
        proxy.cut()


@pytest.mark.parametrize("trouble", ["half-open", "slow", "closing"])
@pytest.mark.parametrize("connection", ["good so far", "new"])
def test_redis_in_trouble_is_given_up_within_two_seconds(
    counters: RedisCounters, proxy: Proxy, trouble: str, connection: str
) -> None:
    """Whatever the trouble is, and however the connection was before."""
    if connection == "good so far":
        counters.project([image(new_ref(), 1)])
        counters.read([new_ref()])
    break_down(proxy, trouble)
    refs = [new_ref() for _ in range(3)]
    assert seconds_until_refusal(lambda: counters.read(refs)) < PATIENCE_SECONDS


def test_answers_that_come_just_in_time_add_up_to_little(counters: RedisCounters, proxy: Proxy) -> None:
    """A new connection needs few answers, so that none of them being quite too late costs seconds."""
    proxy.delay_seconds = 0.4
    ref = new_ref()
    began = time.monotonic()
    counters.project([image(ref, 1)])
    assert counters.read([ref]) == {ref: image(ref, 1)}
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_projecting_is_given_up_too(counters: RedisCounters, proxy: Proxy) -> None:
    """A writer waits no longer than a reader, however many members it has."""
    proxy.manner = "hold"
    images = [image(new_ref(), 1) for _ in range(2_000)]
    assert seconds_until_refusal(lambda: counters.project(images)) < PATIENCE_SECONDS


def test_after_one_vain_wait_nobody_else_waits_until_the_pause_is_over(redis_url: str, proxy: Proxy) -> None:
    """A stuck Redis costs one caller its time-out and the others nothing; later it is tried again."""
    now = 0.0
    parts = urlsplit(redis_url)
    through = parts._replace(netloc=f":{parts.password}@127.0.0.1:{proxy.port}").geturl()
    counters = RedisCounters(connect(through), hash_key=HASH_KEY, monotonic=lambda: now)
    ref = new_ref()
    counters.project([image(ref, 1)])
    proxy.manner = "hold"
    seconds_until_refusal(lambda: counters.read([ref]))
    proxy.manner = "pass"
    tried = proxy.connections
    for _ in range(100):
        assert seconds_until_refusal(lambda: counters.read([ref])) < 0.1
    assert proxy.connections == tried
    now = PAUSE_SECONDS
    assert counters.read([ref]) == {ref: image(ref, 1)}


def test_dropped_connection_is_replaced_unnoticed(counters: RedisCounters, proxy: Proxy) -> None:
    """A server that closed idle connections, or restarted, costs no caller anything."""
    ref = new_ref()
    counters.project([image(ref, 1)])
    proxy.cut()
    assert counters.read([ref]) == {ref: image(ref, 1)}
    proxy.cut()
    counters.project([image(ref, 2)])
    assert counters.read([ref]) == {ref: image(ref, 2)}


def test_stopped_server_is_noticed_at_once_and_used_again_once_it_is_back(own_valkey: Server) -> None:
    """Refused connections need no pause: the first call after the restart is answered."""
    counters = RedisCounters(connect(own_valkey.url), hash_key=HASH_KEY)
    ref = new_ref()
    counters.project([image(ref, 1)])
    own_valkey.stop()
    assert seconds_until_refusal(lambda: counters.read([ref])) < 0.5
    assert seconds_until_refusal(lambda: counters.project([image(ref, 2)])) < 0.5
    own_valkey.start()
    counters.project([image(ref, 3)])
    assert counters.read([ref]) == {ref: image(ref, 3)}


def test_full_server_refuses_writing_and_goes_on_reading(own_valkey: Server) -> None:
    """With no memory left nothing is evicted: projecting fails, what is there is still answered."""
    counters = RedisCounters(connect(own_valkey.url), hash_key=HASH_KEY)
    ref = new_ref()
    counters.project([image(ref, 1)])
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(CountersUnavailable):
            counters.project([image(ref, 2)])
        assert counters.read([ref]) == {ref: image(ref, 1)}
        client.config_set("maxmemory", 0)
    counters.project([image(ref, 2)])
    assert counters.read([ref]) == {ref: image(ref, 2)}


def test_wrong_password_is_an_outage_not_a_crash(redis_url: str) -> None:
    """Whoever is not let in reads from Postgres."""
    parts = urlsplit(redis_url)
    wrong = parts._replace(netloc=f":wrong@{parts.hostname}:{parts.port}").geturl()
    counters = RedisCounters(connect(wrong), hash_key=HASH_KEY)
    assert seconds_until_refusal(lambda: counters.read([new_ref()])) < PATIENCE_SECONDS


def test_counter_of_one_accumulator_takes_at_most_120_bytes(redis_url: str) -> None:
    """The server's own account of key and value together, time to live included."""
    with redis.Redis.from_url(redis_url) as client:
        counters = RedisCounters(client, hash_key=HASH_KEY)
        shown = image(new_ref(), 5)
        counters.project([shown])
        used = client.memory_usage(counter_key(HASH_KEY, shown.ref))
    assert isinstance(used, int)
    assert used <= 120


def test_many_counters_cost_the_server_less_than_200_bytes_each(redis_url: str) -> None:
    """What the whole server grows by, its tables of keys and of times to live included."""
    members = 20_000
    with redis.Redis.from_url(redis_url) as client:
        counters = RedisCounters(client, hash_key=HASH_KEY)
        counters.project([image(new_ref(), 1)])
        before = client.info("memory")["used_memory"]
        counters.project([image(new_ref(), 5) for _ in range(members)])
        # The answers' buffers are given back soon after.
        wait_for(lambda: client.info("memory")["used_memory"] - before < 200 * members, limit_seconds=10)
