"""Takes a promise of units back."""

from __future__ import annotations

from dataclasses import replace

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools
from services.coverage_api.usecases.showing import show_counters
from shared.accounting import holds
from shared.accounting.retrying import retrying
from shared.domain.errors import NotFound
from shared.domain.hold_records import HoldRow
from shared.domain.records import CounterImage
from shared.failpoints import Step, around


def release_hold(tools: Tools, audit: CallAudit, hold_id: str) -> HoldRow:
    """Release a hold that the audited call's client placed; one that ended before stays as it ended.

    Raises NotFound, alike for a hold of somebody else, and HoldPosted once a visit has its units.
    """
    row, images = retrying(lambda: _release(tools, audit, hold_id))
    show_counters(tools, images)
    return row


def _release(tools: Tools, audit: CallAudit, hold_id: str) -> tuple[HoldRow, list[CounterImage]]:
    """One transaction; the counters to show after it. Raises ConcurrentChange."""
    client = audit.client
    with tools.store.transaction(client.payers) as tx:
        row = tx.holds.find(hold_id)
        if row is None or row.client_id != client.client_id:
            raise NotFound
        state, images = holds.release_hold(tx, tools.rules, tools.clock(), row)
        tx.audit.record([audit.entry(200, ref=row.ref)])
        with around(Step.RELEASE_COMMIT):
            tx.commit()
    return replace(row, state=state), images
