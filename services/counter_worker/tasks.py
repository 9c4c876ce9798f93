"""Celery's side of the use cases: names, queues, and what a failure means for the process (nothing)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from services.counter_worker.pulse import Pulse
from services.counter_worker.usecases import drain_shard as draining
from services.counter_worker.usecases.close_periods import close_ended_periods
from services.counter_worker.usecases.expire_holds import expire_holds
from services.counter_worker.usecases.forget_expired import forget_expired
from services.counter_worker.usecases.prune_audit import prune_audit
from services.counter_worker.usecases.sample_drift import sample_drift
from services.counter_worker.usecases.sweep import sweep
from shared.adapters.logs import described
from shared.domain.errors import StoreUnavailable
from shared.messages import (
    CLOSE_PERIODS,
    DRAIN_QUEUE,
    DRAIN_SHARD,
    EXPIRE_HOLDS,
    FORGET_EXPIRED,
    PRUNE_AUDIT,
    SAMPLE_DRIFT,
    SHARDS,
    SWEEP,
)

#: Of this app alone, and never left unacknowledged.
_OPTIONS: Mapping[str, Any] = {
    "shared": False,
    "Request": "services.counter_worker.consumer:StrictRequest",
}

_log = structlog.get_logger()


def register_tasks(app: Celery, tools: Callable[[], Tools], pulse: Pulse) -> None:
    """Give `app` its tasks. `tools` is called when a task runs, never before."""

    @app.task(name=DRAIN_SHARD, **_OPTIONS)
    def drain(shard: int) -> None:
        with pulse.task(periodic=False), surviving(DRAIN_SHARD):
            if not 0 <= shard < SHARDS:
                raise ValueError("no such shard")
            for left in draining.drain_shard(tools(), shard):
                _come_back(app, left)

    def periodic(name: str, job: Callable[[Tools], object]) -> None:
        @app.task(name=name, **_OPTIONS)
        def run() -> None:
            with pulse.task(periodic=True), surviving(name):
                job(tools())

    periodic(SWEEP, lambda tools: sweep(tools, from_beat=True))
    periodic(EXPIRE_HOLDS, expire_holds)
    periodic(SAMPLE_DRIFT, sample_drift)
    periodic(FORGET_EXPIRED, forget_expired)
    periodic(PRUNE_AUDIT, prune_audit)
    periodic(CLOSE_PERIODS, close_ended_periods)


def work_without_broker(tools: Tools) -> None:
    """Do the periodic jobs that cannot wait, each whatever becomes of the others. Never raises."""
    tools.totals.add(totals.STANDBY_SWEEPS)
    for name, job in ((SWEEP, sweep), (EXPIRE_HOLDS, expire_holds)):
        with surviving(name):
            job(tools)


@contextlib.contextmanager
def surviving(job: str) -> Iterator[None]:
    """Here the process's outermost loop begins: whatever befalls a job, the next one runs.

    Nothing is tried again by the broker, since the sweep does that, and nothing of an exception's text
    reaches the log, since a driver's text shows rows.
    """
    try:
        yield
    except StoreUnavailable:
        _log.warning(log_events.STORE_UNAVAILABLE, job=job)
    except ExceptionGroup as group:
        for error in group.exceptions:
            _log.error(log_events.JOB_FAILED, job=job, **described(error))
    except Exception as error:  # noqa: BLE001 - the outermost loop
        _log.error(log_events.JOB_FAILED, job=job, **described(error))


def _come_back(app: Celery, shard: int) -> None:
    """Send a further wake-up, behind those of the other shards."""
    try:
        app.send_task(DRAIN_SHARD, (shard,), queue=DRAIN_QUEUE)
    except (OperationalError, RedisError, OSError):
        _log.warning(log_events.WAKE_UP_FAILED, shard=shard)
