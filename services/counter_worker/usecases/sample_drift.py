"""Compare some counters with the accumulators they show, and have those that are wrong projected anew."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from shared.accounting.reconcile_counters import CounterReport, compare_counters
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import CountersUnavailable
from shared.domain.records import MemberRef
from shared.failpoints import Step, around
from shared.messages import SAMPLE_DRIFT

SAMPLE_SIZE = 500

_log = structlog.get_logger()


def sample_drift(tools: Tools, size: int = SAMPLE_SIZE) -> CounterReport:
    """Compare about `size` counters at random and have the wrong ones projected anew.

    A counter that is not there is not wrong. Nothing is compared while Redis is away or another worker
    is at it. Raises StoreUnavailable.
    """
    with tools.store.transaction(EVERY_PAYER) as tx:
        if not tx.jobs.claim(SAMPLE_DRIFT):
            return CounterReport()
        refs = tx.outbox.sample(size)
        tx.jobs.note_run(SAMPLE_DRIFT)
        tx.commit()
    try:
        drift = compare_counters(tools.store, tools.counters, refs)
        _put_right(tools, drift.wrong)
    except CountersUnavailable:
        return CounterReport()
    tools.totals.add(totals.DRIFT_COMPARED, drift.compared)
    tools.totals.add(totals.DRIFT_FOUND, len(drift.wrong))
    if drift.wrong:
        _log.error(
            log_events.DRIFT_FOUND,
            compared=drift.compared,
            behind=len(drift.behind),
            ahead=len(drift.ahead),
            different=len(drift.different),
        )
    return drift


def _put_right(tools: Tools, refs: Sequence[MemberRef]) -> None:
    """Delete wrong counters, so that Postgres answers, and have the sweep project them anew.

    In this order: a counter that is not there is right, one on the queue is still wrong. And anew from
    Postgres, since a newer one may have been written meanwhile and was deleted with it.
    """
    if refs:
        with around(Step.DRIFT_FORGET):
            tools.counters.forget(refs)
        with tools.store.transaction(EVERY_PAYER) as tx:
            tx.outbox.queue(refs)
            with around(Step.DRIFT_COMMIT):
                tx.commit()
