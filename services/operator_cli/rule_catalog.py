"""Rule documents between files and the database: read, compared, loaded, let run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.operator_cli.catalog_loading import SECONDS_MAX
from services.operator_cli.errors import OperatorError
from services.operator_cli.operations import Operations, current_operator
from shared.accounting.catalog_changes import CatalogChange, payers_of, put_document
from shared.accounting.retrying import retrying
from shared.adapters.catalog_files import (
    CatalogFileInvalid,
    FileFault,
    load_catalog,
    load_rule_document,
)
from shared.adapters.postgres.transaction import PostgresTransaction
from shared.domain.catalog import Catalog, CatalogConflict
from shared.domain.catalog_diff import DocumentChange, changes_between
from shared.domain.catalog_records import DocumentRow
from shared.domain.client import EVERY_PAYER
from shared.domain.rule_document import RuleDocument
from shared.domain.rule_parsing import parse_rule_document
from shared.failpoints import Step, around


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A rule document as it is in the database now, and what that changed."""

    document: RuleDocument
    change: CatalogChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The running catalog, one with a further document in its place, and what lies between them.

    `changed` is None where the document runs already as it is.
    """

    running: Catalog
    candidate: Catalog
    document: RuleDocument
    changed: DocumentChange | None


def faults_of(files: Sequence[Path]) -> tuple[list[tuple[Path, RuleDocument]], list[FileFault]]:
    """The rule documents that files hold, and everything wrong with the others.

    They are held against the packaged catalog and each other, so that no database is needed.
    """
    catalog = load_catalog()
    good: list[tuple[Path, RuleDocument]] = []
    faults: list[FileFault] = []
    for file in files:
        try:
            document = load_rule_document(file, catalog.vocabulary)
            _refuse_twice(file, document, good)
            catalog = joined(catalog, document, file)
            good.append((file, document))
        except CatalogFileInvalid as invalid:
            faults += invalid.faults
    return good, faults


def _refuse_twice(file: Path, document: RuleDocument, good: Sequence[tuple[Path, RuleDocument]]) -> None:
    name = document.document_id, document.version
    for other, earlier in good:
        if (earlier.document_id, earlier.version) == name:
            expected = f"expected a version that {other} does not state"
            raise CatalogFileInvalid([FileFault(str(file), 1, "version", expected)])


def joined(catalog: Catalog, document: RuleDocument, file: Path) -> Catalog:
    """A catalog with the document of a file. Raises CatalogFileInvalid if they contradict each other."""
    try:
        return catalog.with_documents([document], catalog.version + 1)
    except CatalogConflict as conflict:
        raise CatalogFileInvalid([FileFault(str(file), 1, "(catalog)", str(conflict))]) from conflict


def read_candidate(operations: Operations, file: Path) -> Candidate:
    """A file's document beside the running catalog. Raises CatalogFileInvalid, or OperatorError."""
    with operations.database.transaction(EVERY_PAYER) as tx:
        running = operations.rules.current(tx).catalog
        document = load_rule_document(file, running.vocabulary)
        _refuse_unknown_payers(tx, document)
        _refuse_other_content(tx, document)
    candidate = joined(running, document, file)
    changes = changes_between(running, candidate)
    return Candidate(
        running=running,
        candidate=candidate,
        document=document,
        changed=changes[0] if changes else None,
    )


def load_file(operations: Operations, file: Path, *, activate: bool) -> Loaded:
    """Load the document of a file, and let it run if told so. Safe to run twice.

    Raises CatalogFileInvalid, DocumentExists or OperatorError; then the running catalog stays.
    """

    def work() -> Loaded:
        with operations.database.transaction(EVERY_PAYER, seconds=SECONDS_MAX) as tx:
            running = operations.rules.current(tx).catalog
            document = load_rule_document(file, running.vocabulary)
            _refuse_unknown_payers(tx, document)
            joined(running, document, file)
            return _put(operations, tx, running, document, activate=activate)

    return retrying(work)


def activate(operations: Operations, document_id: str, version: int) -> Loaded:
    """Let a loaded version run. Safe to run twice.

    Raises OperatorError if it is not loaded, CatalogConflict if it contradicts what runs by now.
    """

    def work() -> Loaded:
        with operations.database.transaction(EVERY_PAYER, seconds=SECONDS_MAX) as tx:
            running = operations.rules.current(tx).catalog
            row = stored(tx, document_id, version)
            document = parse_rule_document(json.loads(row.body), running.vocabulary)
            return _put(operations, tx, running, document, activate=True)

    return retrying(work)


def _put(
    operations: Operations,
    tx: PostgresTransaction,
    running: Catalog,
    document: RuleDocument,
    *,
    activate: bool,
) -> Loaded:
    by = f"operator {current_operator()}"
    change = put_document(tx.catalog, running, document, operations.clock(), loaded_by=by, activate=activate)
    with around(Step.RULE_COMMIT):
        tx.commit()
    return Loaded(document=document, change=change)


def stored(tx: PostgresTransaction, document_id: str, version: int) -> DocumentRow:
    """One version of one document as it is stored. Raises OperatorError if it was never loaded."""
    row = tx.catalog.find(document_id, version)
    if row is None:
        raise OperatorError(
            f"{document_id} version {version} is not loaded; `needlecap rules list` says what is."
        )
    return row


def nearest_version(tx: PostgresTransaction, document: RuleDocument) -> DocumentRow | None:
    """What a document is to be compared with: the same version if it is loaded, else the latest running."""
    rows = [row for row in tx.catalog.listing() if row.document_id == document.document_id]
    same = [row for row in rows if row.version == document.version]
    running = [row for row in rows if row.runs]
    return next(iter(same), None) or max(running, key=lambda row: row.version, default=None)


def _refuse_unknown_payers(tx: PostgresTransaction, document: RuleDocument) -> None:
    payers = payers_of(document) or ()
    unknown = sorted(set(payers) - tx.known_payers.existing(payers))
    if unknown:
        raise OperatorError(f"The document names payers that are not known: {', '.join(unknown)}.")


def _refuse_other_content(tx: PostgresTransaction, document: RuleDocument) -> None:
    row = tx.catalog.find(document.document_id, document.version)
    if row is not None and row.body != document.body:
        raise OperatorError(
            f"{document.document_id} version {document.version} was loaded with other content; "
            "give the change a new version."
        )
