"""Loads a version of a rule document and, unless told not to, lets it run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.coverage_api.auditing import CallAudit
from services.coverage_api.errors import Forbidden, PayerNotFound
from services.coverage_api.ports import ApiTransaction, Tools
from shared.accounting.catalog_changes import CatalogChange, payers_of, put_document
from shared.accounting.retrying import retrying
from shared.domain.catalog import Catalog
from shared.domain.errors import Invalid
from shared.domain.rule_document import RuleDocument
from shared.domain.rule_parsing import parse_rule_document
from shared.failpoints import Step, around
from shared.messages import SHARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDocument:
    """A rule document as it was loaded, and what that changed."""

    document: RuleDocument
    change: CatalogChange


def put_rule_document(
    tools: Tools, audit: CallAudit, document_id: str, version: int, body: object, *, activate: bool
) -> LoadedDocument:
    """Load a document. Raises RuleDocumentInvalid, CatalogConflict or DocumentExists, changing nothing.

    One that names a payer which the client may not see raises PayerNotFound. Only a client that sees
    every payer may load a law, or one that names no payer or several: Forbidden. Another client's new
    document must be named after its payer, else Invalid, so that nobody can take a name, or find out
    whether it is taken.
    """
    loaded = retrying(lambda: _put(tools, audit, document_id, version, body, activate=activate))
    if loaded.change.members:
        tools.wakeups.wake(range(SHARDS))
    return loaded


def _put(
    tools: Tools, audit: CallAudit, document_id: str, version: int, body: object, *, activate: bool
) -> LoadedDocument:
    """One try, in one transaction."""
    client = audit.client
    with tools.store.transaction(client.payers) as tx:
        catalog = tools.rules.current(tx).catalog
        document = parse_rule_document(body, catalog.vocabulary, document_id=document_id, version=version)
        payers = payers_of(document)
        if payers is not None and tx.known_payers.existing(payers) != set(payers):
            raise PayerNotFound
        if not client.sees_all:
            _refuse_foreign(tx, catalog, document, payers)
        change = put_document(
            tx.catalog, catalog, document, tools.clock(), loaded_by=client.name, activate=activate
        )
        if payers is not None and len(payers) == 1:
            audit.concerns(payers[0])
        tx.audit.record([audit.entry(201 if change.created else 200)])
        with around(Step.RULE_COMMIT):
            tx.commit()
    return LoadedDocument(document=document, change=change)


def _refuse_foreign(
    tx: ApiTransaction, catalog: Catalog, document: RuleDocument, payers: Sequence[str] | None
) -> None:
    """What only a client of all payers may load.

    A version takes effect on the whole document, so it is not enough that it names the client's payer:
    every version there is has to.
    """
    if payers is None or len(payers) != 1 or document.authority == "law":
        raise Forbidden("Only an admin of all payers may load a law, or what names no single payer.")
    [payer] = payers
    name = document.document_id
    known = any(row.document_id == name and row.payer_id == payer for row in tx.catalog.listing())
    foreign = any(other.document_id == name and payers_of(other) != [payer] for other in catalog.documents)
    if foreign or not (known or name.startswith(f"{payer}-")):
        raise Invalid([("/document_id", f"A new document of this payer is named {payer}-...")])
