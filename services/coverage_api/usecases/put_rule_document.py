"""Loads a version of a rule document and, unless told not to, lets it run."""

from __future__ import annotations

from dataclasses import dataclass

from services.coverage_api.errors import Forbidden, PayerNotFound
from services.coverage_api.ports import Tools
from shared.accounting.catalog_changes import CatalogChange, payers_of, put_document
from shared.accounting.retrying import retrying
from shared.domain.client import Client
from shared.domain.rule_document import RuleDocument
from shared.domain.rule_parsing import parse_rule_document
from shared.messages import SHARDS


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDocument:
    """A rule document as it was loaded, and what that changed."""

    document: RuleDocument
    change: CatalogChange


def put_rule_document(
    tools: Tools, client: Client, document_id: str, version: int, body: object, *, activate: bool
) -> LoadedDocument:
    """Load a document. Raises RuleDocumentInvalid, CatalogConflict or DocumentExists, changing nothing.

    One that names a payer which the client may not see raises PayerNotFound; one that names none, or
    several payers, Forbidden unless the client sees every payer.
    """
    loaded = retrying(lambda: _put(tools, client, document_id, version, body, activate=activate))
    if loaded.change.members:
        tools.wakeups.wake(range(SHARDS))
    return loaded


def _put(
    tools: Tools, client: Client, document_id: str, version: int, body: object, *, activate: bool
) -> LoadedDocument:
    """One try, in one transaction."""
    with tools.store.transaction(client.payers) as tx:
        catalog = tools.rules.current(tx).catalog
        document = parse_rule_document(body, catalog.vocabulary, document_id=document_id, version=version)
        payers = payers_of(document)
        if payers is not None and tx.known_payers.existing(payers) != set(payers):
            raise PayerNotFound
        if (payers is None or len(payers) != 1) and not client.sees_all:
            raise Forbidden("Only an admin of all payers may load a document that names no single payer.")
        change = put_document(
            tx.catalog, catalog, document, tools.clock(), loaded_by=client.name, activate=activate
        )
        tx.commit()
    return LoadedDocument(document=document, change=change)
