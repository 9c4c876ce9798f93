"""Keeps the rules of the running catalog in memory, and changes them when another one was activated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from shared.accounting.rules import CatalogRules
from shared.domain.catalog import Catalog

#: Reads the catalog of a version, in the transaction that asked for it.
LoadCatalog = Callable[[Any, int], Catalog]


class CatalogHolder:
    """The rules of the catalog that a transaction sees as running. Safe to share between threads."""

    def __init__(self, load: LoadCatalog) -> None:
        """Load nothing yet: the first transaction says which version runs."""
        self._load = load
        self._lock = threading.Lock()
        self._held: tuple[int, CatalogRules] | None = None

    def current(self, tx: Any) -> CatalogRules:
        """The rules of the version that `tx` sees; loaded by one thread while the others wait."""
        version = tx.standing.catalog_version()
        held = self._held
        if held is not None and held[0] == version:
            return held[1]
        with self._lock:
            if self._held is None or self._held[0] != version:
                self._held = (version, CatalogRules(self._load(tx, version)))
            return self._held[1]
