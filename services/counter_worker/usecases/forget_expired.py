"""Delete access tokens and shown assertions once they would be refused anyway."""

from __future__ import annotations

from datetime import timedelta

from services.counter_worker.ports import Tools
from shared.messages import FORGET_EXPIRED

#: Clocks of different machines may differ by less than this: an assertion is never forgotten too early.
KEPT_LONGER = timedelta(minutes=5)


def forget_expired(tools: Tools) -> int:
    """Delete a bounded number of them; how many. What is left is for the next time.

    Safe on several workers at once: one of them does it. Raises StoreUnavailable.
    """
    with tools.store.transaction(()) as tx:
        if not tx.jobs.claim(FORGET_EXPIRED):
            return 0
        forgotten = tx.clients.forget_expired(tx.jobs.now() - KEPT_LONGER)
        tx.commit()
    return forgotten
