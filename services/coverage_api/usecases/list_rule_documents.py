"""Lists the rule documents there are."""

from __future__ import annotations

from collections.abc import Sequence

from services.coverage_api.ports import Tools
from shared.domain.catalog_records import DocumentRow
from shared.domain.client import Client


def list_rule_documents(
    tools: Tools, client: Client, after: tuple[str, int] | None, limit: int
) -> tuple[Sequence[DocumentRow], bool]:
    """Up to `limit` versions of documents behind `after`, by id and version, and whether more follow.

    Those that name no payer are seen by everyone, the others by whoever sees the payer.
    """
    with tools.store.transaction(client.payers) as tx:
        rows = [
            row for row in tx.catalog.listing() if after is None or (row.document_id, row.version) > after
        ]
    return rows[:limit], len(rows) > limit
