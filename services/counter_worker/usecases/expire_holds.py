"""End the holds whose time is over."""

from __future__ import annotations

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from services.counter_worker.usecases.project_counters import project
from shared.accounting.drain import DRAIN_SECONDS
from shared.accounting.holds import expire_due
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.failpoints import Step, around
from shared.messages import EXPIRE_HOLDS

BATCH_MAX = 200
BATCHES_MAX = 20

_log = structlog.get_logger()


def expire_holds(tools: Tools) -> int:
    """Expire what is due by the database's clock, a batch in a commit; how many.

    A batch that another worker has begun is left to it. Of a batch that fails the holds are ended one by
    one, so that one that cannot be ended keeps no other waiting; it is tried again the next time. Raises
    StoreUnavailable, and an ExceptionGroup of what befell single holds.
    """
    expired, size = 0, BATCH_MAX
    failures: list[Exception] = []
    for _ in range(BATCHES_MAX):
        try:
            ended = _expire_batch(tools, size, skip=len(failures))
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - raised with its like once the others are ended
            if size == 1:
                failures.append(error)
            size = 1
            continue
        expired += ended
        if ended < size:
            break
    if expired:
        tools.totals.add(totals.HOLDS_EXPIRED, expired)
        _log.info(log_events.HOLDS_EXPIRED, holds=expired)
    if failures:
        raise ExceptionGroup("holds that could not be ended", failures)
    return expired


def _expire_batch(tools: Tools, size: int, skip: int) -> int:
    """End up to `size` holds in one commit; how many, 0 too while another worker is at it."""
    with tools.store.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
        if not tx.jobs.claim(EXPIRE_HOLDS):
            return 0
        ended, images = expire_due(tx, tools.rules, tx.jobs.now(), size, skip)
        if not ended:
            return 0
        with around(Step.EXPIRY_COMMIT):
            tx.commit()
    project(tools, images)
    return ended
