"""What waits in the broker can be counted, and a message reaches the queue it was sent to alone."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery

from services.counter_worker.bootstrap import build_app, tasks_waiting
from services.counter_worker.settings import Settings
from shared.adapters.environment import Environment
from shared.messages import DRAIN_QUEUE, DRAIN_SHARD, PERIODIC_QUEUE, SWEEP


def app_on(broker_url: str) -> Celery:
    """The worker's app on a broker."""
    environment = Environment(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        redis_url="redis://127.0.0.1:1/0",
        broker_url=broker_url,
        hash_key=bytes(32),
        log_level="info",
    )
    return build_app(Settings(environment=environment))


@pytest.fixture
def broker_url(redis_url: str) -> str:
    """An empty broker."""
    return urlsplit(redis_url)._replace(path="/1").geturl()


def test_tasks_that_wait_are_counted(broker_url: str) -> None:
    """Those of all queues, none of them taken by being counted."""
    app = app_on(broker_url)
    assert tasks_waiting(app) == 0
    app.send_task(DRAIN_SHARD, (1,))
    app.send_task(DRAIN_SHARD, (2,))
    app.send_task(SWEEP)
    assert [tasks_waiting(app), tasks_waiting(app)] == [3, 3]


def test_broker_that_is_away_says_nothing() -> None:
    """Nothing known is not nothing waiting (I11)."""
    assert tasks_waiting(app_on("redis://127.0.0.1:1/1")) is None


def test_task_lies_in_its_own_queue_alone(broker_url: str) -> None:
    """A wake-up is not put into the queue of the periodic tasks as well."""
    app_on(broker_url).send_task(DRAIN_SHARD, (1,))
    with redis.Redis.from_url(broker_url) as client:
        lengths = [client.llen(f"needlecap:{queue}") for queue in (DRAIN_QUEUE, PERIODIC_QUEUE)]
    assert lengths == [1, 0]
