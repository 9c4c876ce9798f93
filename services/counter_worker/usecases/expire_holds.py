"""End the holds whose time is over."""

from __future__ import annotations

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from services.counter_worker.usecases.project_counters import project
from shared.accounting.drain import DRAIN_SECONDS, EVERY_PAYER
from shared.accounting.holds import expire_due
from shared.messages import EXPIRE_HOLDS

BATCH_MAX = 200
BATCHES_MAX = 20

_log = structlog.get_logger()


def expire_holds(tools: Tools) -> int:
    """Expire what is due by the database's clock, a batch in a commit; how many. Raises StoreUnavailable.

    A batch that another worker has begun is left to it.
    """
    expired = 0
    for _ in range(BATCHES_MAX):
        with tools.store.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
            if not tx.jobs.claim(EXPIRE_HOLDS):
                break
            ended, images = expire_due(tx, tools.rules, tx.jobs.now(), BATCH_MAX)
            if not ended:
                break
            tx.commit()
        project(tools, images)
        expired += ended
        if ended < BATCH_MAX:
            break
    if expired:
        tools.totals.add(totals.HOLDS_EXPIRED, expired)
        _log.info(log_events.HOLDS_EXPIRED, holds=expired)
    return expired
