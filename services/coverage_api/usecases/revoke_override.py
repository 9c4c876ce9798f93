"""Takes the units of an override back."""

from __future__ import annotations

from dataclasses import replace

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools
from services.coverage_api.usecases.showing import show_counters
from shared.accounting import overrides
from shared.accounting.retrying import retrying
from shared.domain.errors import NotFound
from shared.domain.hold_records import OverrideRow
from shared.domain.records import CounterImage
from shared.failpoints import Step, around


def revoke_override(tools: Tools, audit: CallAudit, override_id: str) -> OverrideRow:
    """Revoke an override; one revoked before stays as it is. Raises NotFound."""
    row, images = retrying(lambda: _revoke(tools, audit, override_id))
    show_counters(tools, images)
    return row


def _revoke(tools: Tools, audit: CallAudit, override_id: str) -> tuple[OverrideRow, list[CounterImage]]:
    """One transaction; the counters to show after it. Raises ConcurrentChange."""
    now = tools.clock()
    with tools.store.transaction(audit.client.payers) as tx:
        row = tx.overrides.find(override_id)
        if row is None:
            raise NotFound
        images = overrides.revoke_override(tx, tools.rules, now, row)
        tx.audit.record([audit.entry(201, ref=row.ref)])
        with around(Step.REVOKE_COMMIT):
            tx.commit()
    return replace(row, revoked_at=row.revoked_at or now), images
