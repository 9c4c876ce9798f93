"""Whatever is sent is consumed: every queue, every task, every beat."""

from __future__ import annotations

import inspect

import pytest
from celery import Celery

from services.counter_worker.bootstrap import TASK_SECONDS_MAX, build_app
from services.counter_worker.schedule import beat_schedule
from services.counter_worker.settings import Settings
from shared import messages
from shared.adapters.celery_broker import VISIBILITY_SECONDS, configure_broker
from shared.adapters.environment import Environment
from shared.messages import DRAIN_QUEUE, PERIODIC_QUEUE, QUEUES

#: Every constant of the messages that names a task: they begin alike, and queues are told apart.
TASKS = {
    value
    for name, value in vars(messages).items()
    if name.isupper() and isinstance(value, str) and value.startswith("needlecap.") and value not in QUEUES
}


@pytest.fixture
def app() -> Celery:
    """The worker's app, as its command line builds it, without any server."""
    environment = Environment(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        redis_url="redis://127.0.0.1:1/0",
        broker_url="redis://127.0.0.1:1/1",
        hash_key=bytes(32),
        log_level="info",
    )
    return build_app(Settings(environment=environment))


def test_messages_name_the_tasks_there_are() -> None:
    """The set that the other tests compare with is not empty by accident."""
    assert {"needlecap.drain_shard", "needlecap.sweep"} <= TASKS


def test_every_queue_is_consumed(app: Celery) -> None:
    """A worker without further options consumes every queue that the services name, and no other."""
    assert set(app.amqp.queues.consume_from) == set(QUEUES)


def test_every_task_is_registered_and_no_other(app: Celery) -> None:
    """Each name in the messages is a task of the worker; the worker has no task that nobody names."""
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert ours == TASKS


def test_every_beat_entry_names_a_registered_task_and_a_consumed_queue(app: Celery) -> None:
    """Beat sends nothing that nobody takes."""
    schedule = app.conf.beat_schedule
    assert schedule == beat_schedule()
    assert {entry["task"] for entry in schedule.values()} <= set(app.tasks)
    assert {entry["options"]["queue"] for entry in schedule.values()} == {PERIODIC_QUEUE}


def test_every_task_but_the_wake_up_is_sent_by_beat() -> None:
    """A periodic job that nobody starts would never run."""
    assert {entry["task"] for entry in beat_schedule().values()} == TASKS - {messages.DRAIN_SHARD}


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_is_routed_to_its_queue(app: Celery, task: str) -> None:
    """Wake-ups have a queue of their own, so that a pile of periodic tasks does not hold them up."""
    expected = DRAIN_QUEUE if task == messages.DRAIN_SHARD else PERIODIC_QUEUE
    route = app.amqp.router.route({}, task)
    assert route["queue"].name == expected


def test_no_two_queues_share_an_exchange(app: Celery) -> None:
    """Else each would get the other's tasks as well."""
    exchanges = [queue.exchange.name for queue in app.amqp.queues.values()]
    assert len(set(exchanges)) == len(QUEUES)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_tasks_take_shard_numbers_or_nothing(app: Celery, task: str) -> None:
    """No task carries an event, or anything about a person (I8)."""
    parameters = inspect.signature(app.tasks[task].run).parameters
    assert set(parameters) <= {"shard"}


def test_tasks_end_before_the_broker_gives_them_to_another(app: Celery) -> None:
    """Visibility is longer than any task may take, by any pool's limits."""
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit == TASK_SECONDS_MAX < VISIBILITY_SECONDS
    assert app.conf.broker_transport_options["visibility_timeout"] == VISIBILITY_SECONDS


def test_worker_is_set_against_the_known_failures(app: Celery) -> None:
    """The settings that the architecture's table asks for, each of them."""
    expected = {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "broker_connection_retry_on_startup": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "worker_pool": "solo",
    }
    assert {name: app.conf[name] for name in expected} == expected
    options = app.conf.broker_transport_options
    assert options["global_keyprefix"] == "needlecap:"
    assert (options["unacked_restore_interval"], options["unacked_restore_throttle"]) == (1, 1)
    assert options["max_retries"] == 0
    assert not any(
        "countdown" in str(entry) or "eta" in entry["options"] for entry in beat_schedule().values()
    )


def test_senders_and_the_worker_agree_about_the_broker(app: Celery) -> None:
    """Whoever only sends uses the same queues, prefix and form."""
    sender = Celery("sender", set_as_current=False)
    configure_broker(sender, "redis://127.0.0.1:1/1", answer_seconds=1.0)
    for name in ("task_serializer", "accept_content", "task_default_queue"):
        assert sender.conf[name] == app.conf[name]
    assert sender.conf.broker_transport_options["global_keyprefix"] == "needlecap:"
    assert set(sender.amqp.queues) == set(app.amqp.queues)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://broker:6379/1", False),
        ("rediss://broker:6379/1", {"ssl_cert_reqs": 2}),
        ("rediss://broker:6379/1?ssl_cert_reqs=none", False),
    ],
)
def test_broker_over_tls_shows_its_certificate(url: str, expected: object) -> None:
    """A certificate is asked for unless the URL itself says otherwise."""
    sender = Celery("sender", set_as_current=False)
    configure_broker(sender, url)
    assert sender.conf.broker_use_ssl == expected
