"""Brings the packaged rule catalog into a database."""

from __future__ import annotations

import contextlib
from datetime import datetime

from shared.accounting.catalog_changes import CatalogChange, load_packaged
from shared.adapters.catalog_source import packaged_parts
from shared.adapters.postgres.database import ALL_PAYERS, PostgresDatabase

# A change of the catalog asks for every member of the database to be folded again, at once.
SECONDS_MAX = 600.0


def load(database_url: str, now: datetime) -> CatalogChange:
    """Load the packaged catalog; nothing changes if it is there already.

    Raises CatalogFileInvalid if a file of it is wrong, DocumentExists if a document was changed
    without a new version, StoreUnavailable if the database cannot be reached. The running catalog
    then stays as it was.
    """
    parts = packaged_parts()
    database = PostgresDatabase(database_url, connections_max=1, transaction_seconds=SECONDS_MAX)
    with contextlib.closing(database), database.transaction(ALL_PAYERS) as tx:
        change = load_packaged(tx.catalog, parts, now)
        tx.commit()
    return change
