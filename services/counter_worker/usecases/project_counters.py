"""Show in Redis what Postgres has committed. A failure costs time, never truth (I5)."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import CountersUnavailable
from shared.domain.records import CounterImage
from shared.failpoints import Step, around

#: Counters younger than this are left to the one who made them.
GRACE_SECONDS = 0.2
CHUNK = 500
CHUNKS_MAX = 40

_log = structlog.get_logger()


def project(tools: Tools, images: Sequence[CounterImage]) -> bool:
    """Write committed images to Redis and take them off the queue; False if Redis is away.

    Raises StoreUnavailable when they were written but are still on the queue, which does no harm.
    """
    if not images:
        return True
    try:
        with around(Step.PROJECTION_WRITE):
            tools.counters.project(images)
    except CountersUnavailable:
        _log.warning(log_events.PROJECTION_FAILED, counters=len(images))
        tools.totals.add(totals.PROJECTIONS_FAILED, len(images))
        return False
    tools.totals.add(totals.COUNTERS_PROJECTED, len(images))
    with tools.store.transaction(EVERY_PAYER) as tx:
        tx.outbox.forget(images)
        with around(Step.OUTBOX_COMMIT):
            tx.commit()
    return True


def project_waiting(tools: Tools) -> int:
    """Project what nobody has projected so far; how many counters. Raises StoreUnavailable.

    At most `CHUNK` times `CHUNKS_MAX` at once: the next sweep goes on.
    """
    projected = 0
    for _ in range(CHUNKS_MAX):
        with tools.store.transaction(EVERY_PAYER) as tx:
            refs = tx.outbox.waiting(GRACE_SECONDS, CHUNK)
            images = tx.outbox.images(refs) if refs else []
        if not images or not project(tools, images):
            break
        projected += len(images)
        if len(refs) < CHUNK:
            break
    return projected
