"""Finds a recorded answer."""

from __future__ import annotations

from services.coverage_api.ports import Tools
from shared.domain.client import Client
from shared.domain.errors import NotFound
from shared.domain.records import MemberRef


def find_determination(tools: Tools, client: Client, check_id: str) -> tuple[MemberRef, bytes]:
    """Whom a check was about, and the answer to it as it was given, byte for byte.

    Raises NotFound for one that is not there, or of a payer that `client` may not see.
    """
    with tools.store.transaction(client.payers) as tx:
        found = tx.determinations.body(check_id)
    if found is None:
        raise NotFound
    return found
