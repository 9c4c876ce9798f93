"""Wake-ups reach the broker once for the shards that have no flag, and hold up nobody who sends them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import pytest
import redis

from shared.adapters.celery_broker import KEY_PREFIX
from shared.adapters.celery_wakeups import FLAG_MILLISECONDS, CeleryWakeUps
from shared.adapters.redis.connection import connect
from shared.messages import DRAIN_QUEUE, DRAIN_SHARD, wake_flag
from tests.servers import Server
from tests.waiting import wait_for


def broker_url(redis_url: str) -> str:
    """The same server's database 1."""
    return redis_url.rsplit("/", 1)[0] + "/1"


class Sender:
    """Wake-ups on a server, with what they told of failures."""

    def __init__(self, redis_url: str) -> None:
        self.failures: list[Exception] = []
        self.flags = connect(redis_url)
        self._broker = redis.Redis.from_url(broker_url(redis_url))
        self.wakeups = CeleryWakeUps(
            self.flags, broker_url(redis_url), monotonic=time.monotonic, failed=self.failures.append
        )

    def sent(self) -> list[int]:
        """The shards of the tasks that wait in the queue, in the order they were sent."""
        messages = [orjson.loads(message) for message in self._broker.lrange(KEY_PREFIX + DRAIN_QUEUE, 0, -1)]
        assert all(message["headers"]["task"] == DRAIN_SHARD for message in messages)
        return [orjson.loads(message["headers"]["argsrepr"])[0] for message in reversed(messages)]

    def close(self) -> None:
        """Stop sending."""
        self.wakeups.close()
        self.flags.close()
        self._broker.close()


@pytest.fixture
def sender(redis_url: str) -> Iterator[Sender]:
    """Wake-ups on an empty server."""
    made = Sender(redis_url)
    yield made
    made.close()


def test_shards_are_woken_once_until_their_flags_are_lowered(sender: Sender) -> None:
    """One task wakes all whose flags it raised; while it is on its way there is no second for them."""
    sender.wakeups.wake([3, 5])
    wait_for(lambda: sender.sent() == [3])
    assert sender.flags.exists(wake_flag(3), wake_flag(5)) == 2
    sender.wakeups.wake([3, 5, 7])
    wait_for(lambda: sender.sent() == [3, 7])
    sender.flags.delete(wake_flag(5))
    sender.wakeups.wake([3, 5])
    wait_for(lambda: sender.sent() == [3, 7, 5])


def test_flag_that_nobody_lowers_goes_by_itself(sender: Sender) -> None:
    """A task lost with its worker holds back later wake-ups for two seconds at most."""
    sender.wakeups.wake([3])
    wait_for(lambda: sender.sent() == [3])
    assert 0 < int(sender.flags.pttl(wake_flag(3))) <= FLAG_MILLISECONDS


def test_sender_does_not_notice_that_redis_is_away(own_valkey: Server) -> None:
    """Waking returns at once, one failure is told, and it begins again when Redis is back."""
    sender = Sender(own_valkey.url)
    own_valkey.stop()
    started = time.monotonic()
    for _ in range(100):
        sender.wakeups.wake(range(64))
    assert time.monotonic() - started < 0.5
    wait_for(lambda: sender.failures)
    own_valkey.start()

    def woken() -> bool:
        sender.wakeups.wake([9])
        return 9 in sender.sent()

    wait_for(woken)
    assert len(sender.failures) < 5
    sender.close()
