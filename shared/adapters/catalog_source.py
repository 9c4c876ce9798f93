"""The running rules, from the catalog in Postgres; and the packaged catalog in the form stored there."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from shared.accounting.rules import CatalogRules
from shared.adapters.catalog_files import load_catalog, packaged_catalog, parse_yaml
from shared.domain.catalog import Catalog, build_catalog
from shared.domain.catalog_parsing import (
    parse_code_list,
    parse_guidance,
    parse_payers,
    parse_state_scope,
    parse_vocabulary,
)
from shared.domain.catalog_records import CatalogParts
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.domain.rule_parsing import canonical_json, parse_rule_document
from shared.ports import Database, Transaction

#: The catalog's parts besides the documents: the name in the database and the packaged file.
_PARTS = {
    "reasons": "reasons.yaml",
    "code_list": "code-list.yaml",
    "state_scope": "state-scope.yaml",
    "payers": "payers.yaml",
    "guidance": "guidance.yaml",
}


def packaged_parts(path: Path | None = None) -> CatalogParts:
    """The packaged catalog, checked as a whole. Raises CatalogFileInvalid with file, line and key."""
    root = path or packaged_catalog()
    catalog = load_catalog(root)
    reference = {name: parse_yaml(root / file).data for name, file in _PARTS.items()}
    return CatalogParts(
        documents=catalog.documents,
        reference=canonical_json(reference),
        payers={payer.payer_id: payer.name for payer in catalog.payers.values()},
    )


def assemble(reference: dict[str, Any], documents: list[Any], version: int) -> Catalog:
    """A catalog from what is stored of it. Raises RuleDocumentInvalid or CatalogConflict."""
    code_list, services = parse_code_list(reference["code_list"])
    vocabulary = parse_vocabulary(reference["reasons"], services)
    return build_catalog(
        Catalog(
            version=version,
            documents=tuple(parse_rule_document(body, vocabulary) for body in documents),
            vocabulary=vocabulary,
            code_list=code_list,
            state_scope=parse_state_scope(reference["state_scope"]),
            payers=parse_payers(reference["payers"]),
            guidance=parse_guidance(reference["guidance"]),
        )
    )


class CatalogSource:
    """The rules of the running catalog, kept in memory until its number changes. Shared by threads."""

    def __init__(self, database: Database) -> None:
        """Read the catalog through `database` when it changes."""
        self._database = database
        self._lock = threading.Lock()
        self._rules: CatalogRules | None = None

    def current(self, tx: Transaction) -> CatalogRules:
        """The rules of the catalog that this transaction sees as running.

        A catalog holds every payer's documents and nothing about people, so it is read with the
        walls down, in a transaction of its own. Raises StoreUnavailable while no catalog was loaded.
        """
        version = tx.catalog.version()
        rules = self._rules
        if rules is None or rules.catalog.version != version:
            with self._lock:
                if self._rules is None or self._rules.catalog.version != version:
                    self._rules = CatalogRules(self.read(version))
                rules = self._rules
        return rules

    def read(self, version: int) -> Catalog:
        """The catalog of one number, the running one or an earlier."""
        with self._database.transaction(EVERY_PAYER) as tx:
            reference, documents = tx.catalog.reference(version), tx.catalog.documents(version)
        if reference is None:
            raise StoreUnavailable("no rule catalog is loaded yet")
        return assemble(json.loads(reference), [json.loads(body) for body in documents], version)
