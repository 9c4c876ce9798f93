"""Finds a hold."""

from __future__ import annotations

from services.coverage_api.ports import Tools
from shared.domain.client import Client
from shared.domain.errors import NotFound
from shared.domain.hold_records import HoldRow


def find_hold(tools: Tools, client: Client, hold_id: str) -> HoldRow:
    """A hold that this client placed. Raises NotFound, alike for one of somebody else."""
    with tools.store.transaction(client.payers) as tx:
        row = tx.holds.find(hold_id)
    if row is None or row.client_id != client.client_id:
        raise NotFound
    return row
