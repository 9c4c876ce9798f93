"""Names a payer, or makes a new one."""

from __future__ import annotations

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools


def put_payer(tools: Tools, audit: CallAudit, payer_id: str, name: str) -> bool:
    """Give a payer its name. True if the payer is new.

    Whoever calls has made sure that the client may: a new payer needs one that sees every payer.
    """
    with tools.store.transaction([payer_id]) as tx:
        is_new = tx.known_payers.put(payer_id, name)
        tx.audit.record([audit.entry(201 if is_new else 200)])
        tx.commit()
    return is_new
