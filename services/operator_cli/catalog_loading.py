"""Brings the packaged rule catalog into a database."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime

from shared.accounting.catalog_changes import CatalogChange, load_packaged
from shared.adapters.catalog_source import assemble, packaged_parts
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.postgres.transaction import PostgresTransaction
from shared.domain.client import EVERY_PAYER
from shared.failpoints import Step, around

# A change of the catalog asks for every member of the database to be folded again, at once.
SECONDS_MAX = 600.0


def load(database_url: str, now: datetime) -> CatalogChange:
    """Load the packaged catalog; nothing changes if it is there already.

    Raises CatalogFileInvalid if a file of it is wrong, DocumentExists if a document was changed
    without a new version, CatalogConflict or RuleDocumentInvalid if documents loaded before do not go
    together with it, StoreUnavailable if the database cannot be reached. The running catalog then
    stays as it was.
    """
    parts = packaged_parts()
    database = PostgresDatabase(database_url, connections_max=1, transaction_seconds=SECONDS_MAX)
    with contextlib.closing(database), database.transaction(EVERY_PAYER) as tx:
        change = load_packaged(tx.catalog, parts, now)
        if change.created:
            _check_whole(tx, change.catalog_version)
        with around(Step.RULE_COMMIT):
            tx.commit()
    return change


def _check_whole(tx: PostgresTransaction, version: int) -> None:
    """Put the catalog together as every service will: with what operators loaded beside the packaged."""
    reference = tx.catalog.reference(version)
    assert reference is not None, "a loaded catalog has its reference"
    assemble(json.loads(reference), [json.loads(body) for body in tx.catalog.documents(version)], version)
