"""Finds a recorded answer."""

from __future__ import annotations

from services.coverage_api.ports import Tools
from shared.domain.client import Client
from shared.domain.errors import NotFound


def find_determination(tools: Tools, client: Client, check_id: str) -> bytes:
    """The answer to a check as it was given, byte for byte.

    Raises NotFound for one that is not there, or of a payer that `client` may not see.
    """
    with tools.store.transaction(client.payers) as tx:
        body = tx.determinations.body(check_id)
    if body is None:
        raise NotFound
    return body
