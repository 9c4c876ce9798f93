"""The composition root: here, and nowhere else, the worker's parts are put together."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

from celery import Celery, bootsteps
from celery.concurrency.solo import TaskPool as SoloPool
from kombu import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from services.counter_worker.ports import Tools
from services.counter_worker.pulse import Pulse
from services.counter_worker.schedule import beat_schedule
from services.counter_worker.settings import CONNECTIONS_KEPT, Settings
from services.counter_worker.standby import Standby
from services.counter_worker.tasks import register_tasks, work_without_broker
from services.counter_worker.totals import Totals
from shared import failpoints
from shared.adapters.catalog_source import CatalogSource
from shared.adapters.celery_broker import VISIBILITY_SECONDS, configure_broker
from shared.adapters.collecting import collect_rarely
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.adapters.redis.wake_flags import RedisWakeFlags
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.messages import DRAIN_QUEUE, DRAIN_SHARD, PERIODIC_QUEUE

#: A task that takes longer is stuck: its transactions have had their own bounds long before.
TASK_SECONDS_MAX = VISIBILITY_SECONDS - 10


class Workshop:
    """The tools of one worker process, made when a task first needs them and not at import."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet."""
        self._settings = settings
        self._lock = threading.Lock()
        self._database: PostgresDatabase | None = None
        self._tools: Tools | None = None

    def tools(self) -> Tools:
        """The tools; the same at each call."""
        with self._lock:
            if self._tools is None:
                self._database = open_store(self._settings, connections_max=self._settings.connections_max)
                self._tools = _tools(self._settings, self._database)
                _read_rules(self._tools)
                collect_rarely()
            return self._tools

    def close(self) -> None:
        """Give up what was opened."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = self._tools = None


def _read_rules(tools: Tools) -> None:
    """Read the running rules now, so that the first event need not wait for it; later if that cannot be."""
    with contextlib.suppress(StoreUnavailable), tools.store.transaction(EVERY_PAYER) as tx:
        tools.rules.current(tx)


def open_store(settings: Settings, *, connections_max: int) -> PostgresDatabase:
    """Postgres, through a pool of at most this many connections."""
    return PostgresDatabase(
        settings.environment.database_url, connections_max=connections_max, connections_kept=CONNECTIONS_KEPT
    )


def _tools(settings: Settings, database: PostgresDatabase) -> Tools:
    client = connect(settings.environment.redis_url)
    return Tools(
        store=database,
        rules=CatalogSource(database),
        counters=RedisCounters(client, hash_key=settings.environment.hash_key),
        flags=RedisWakeFlags(client),
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        totals=Totals(),
        batch_max=settings.batch_max,
    )


def build_app(settings: Settings) -> Celery:
    """The Celery app of the worker and of beat. README.md tells why each setting is as it is."""
    failpoints.arm(settings.environment.failpoint)
    app = Celery("needlecap", set_as_current=False)
    configure_broker(app, settings.environment.broker_url)
    app.conf.update(
        worker_pool="solo",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_consumer="services.counter_worker.consumer:PatientConsumer",
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TASK_SECONDS_MAX,
        task_soft_time_limit=TASK_SECONDS_MAX - 5,
        task_routes={DRAIN_SHARD: DRAIN_QUEUE, "needlecap.*": PERIODIC_QUEUE},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        beat_schedule=beat_schedule(),
        timezone="UTC",
    )
    workshop, pulse = Workshop(settings), Pulse(time.monotonic)
    register_tasks(app, workshop.tools, pulse)
    app.steps["worker"].add(_standby_step(app, workshop, pulse))
    return app


def _standby_step(app: Celery, workshop: Workshop, pulse: Pulse) -> type[bootsteps.StartStopStep]:
    """The part of Celery's worker that runs the standby beside it."""

    class StandbyStep(bootsteps.StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def include_if(self, worker: Any) -> bool:
            # Other pools fork or switch under a thread's feet; they have time limits of their own.
            return worker.pool_cls is SoloPool

        def start(self, _worker: Any) -> None:
            self.standby = Standby(
                pulse=pulse,
                work=lambda: work_without_broker(workshop.tools()),
                waiting=lambda: tasks_waiting(app),
                task_seconds_max=TASK_SECONDS_MAX,
                leave=os._exit,
                monotonic=time.monotonic,
            )
            self.standby.start()

        def stop(self, _worker: Any) -> None:
            self.standby.stop()
            workshop.close()

    return StandbyStep


def tasks_waiting(app: Celery) -> int | None:
    """How many tasks wait in the queues; None if the broker does not say."""
    try:
        with app.connection_for_read() as connection:
            channel = connection.default_channel
            # Not `passive`: kombu looks for an existing queue without our key prefix, and finds none.
            declared: list[Any] = [queue.bind(channel).queue_declare() for queue in _queues(app)]
    except (OperationalError, RedisError, OSError):
        return None
    return sum(int(queue.message_count) for queue in declared)


def _queues(app: Celery) -> list[Queue]:
    return list(app.amqp.queues.values())
