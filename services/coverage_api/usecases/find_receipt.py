"""Finds the receipt of an event."""

from __future__ import annotations

from services.coverage_api.ports import Tools
from shared.domain.client import Client
from shared.domain.errors import NotFound
from shared.domain.receipt import StoredReceipt


def find_receipt(tools: Tools, client: Client, event_id: str, sender: str | None) -> StoredReceipt:
    """The receipt of an event that `client` sent, or that the client named `sender` did.

    Raises NotFound for one that is not there, or of a payer that `client` may not see.
    """
    with tools.store.transaction(client.payers) as tx:
        client_id = client.client_id if sender is None else tx.clients.id_of(sender)
        name = (client_id or "", event_id)
        found = tx.receipts.find([name]).get(name) if client_id else None
    if found is None:
        raise NotFound
    return found
