"""Lists the rule documents there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.coverage_api.ports import Tools
from shared.accounting.catalog_changes import versions_in_force
from shared.domain.catalog_records import DocumentRow
from shared.domain.client import Client
from shared.domain.rule_precedence import VersionDates


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentsPage:
    """Versions of documents, by document when which of them is in force, and whether more follow."""

    rows: Sequence[DocumentRow]
    in_force: Mapping[str, Sequence[VersionDates]]
    more: bool


def list_rule_documents(
    tools: Tools, client: Client, after: tuple[str, int] | None, limit: int
) -> DocumentsPage:
    """Up to `limit` versions of documents behind `after`, by id and version.

    Those that name no payer are seen by everyone, the others by whoever sees the payer.
    """
    with tools.store.transaction(client.payers) as tx:
        catalog = tools.rules.current(tx).catalog
        rows = [
            row for row in tx.catalog.listing() if after is None or (row.document_id, row.version) > after
        ]
    names = {row.document_id for row in rows[:limit]}
    in_force = {name: versions_in_force(catalog, name) for name in names}
    return DocumentsPage(rows=rows[:limit], in_force=in_force, more=len(rows) > limit)
