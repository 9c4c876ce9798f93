"""Delete the entries of the audit trail that need no longer be kept."""

from __future__ import annotations

import structlog

from services.counter_worker import log_events
from services.counter_worker.ports import Tools
from shared.domain.client import EVERY_PAYER
from shared.failpoints import Step, around
from shared.messages import PRUNE_AUDIT

#: Of ten thousand entries at most; what is left then is there the next time.
BATCHES_MAX = 20

_log = structlog.get_logger()


def prune_audit(tools: Tools) -> int:
    """Delete what is older than the database's owner said to keep; how many entries that were.

    Nothing while another worker is at it. Raises StoreUnavailable.
    """
    pruned = 0
    for _ in range(BATCHES_MAX):
        with tools.store.transaction(EVERY_PAYER) as tx:
            if not tx.jobs.claim(PRUNE_AUDIT):
                break
            gone = tx.audit.prune()
            tx.jobs.note_run(PRUNE_AUDIT)
            with around(Step.PRUNE_COMMIT):
                tx.commit()
        pruned += gone
        if not gone:
            break
    if pruned:
        _log.info(log_events.AUDIT_PRUNED, entries=pruned)
    return pruned
