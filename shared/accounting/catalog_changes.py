"""Changing the running rule catalog: loading, activating, and having the touched members folded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.catalog import Catalog
from shared.domain.catalog_records import CatalogParts, DocumentRow
from shared.domain.errors import ConcurrentChange, Conflict
from shared.domain.rule_document import RuleDocument
from shared.domain.rule_effects import catalog_cause
from shared.domain.rule_precedence import VersionDates, dates_of, in_force
from shared.ports import CatalogStore


class DocumentExists(Conflict):
    """This version of the rule document was loaded with other content; give the change a new version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogChange:
    """What a change did: the number of the running catalog, and the members to be folded again.

    Of a single document also when each of its versions that run is in force, in order of date, and, if
    it ran before so that nothing was changed, the catalog with which it had begun to.
    """

    catalog_version: int
    created: bool
    activated: bool
    members: int = 0
    in_force: tuple[VersionDates, ...] = ()
    ran_since: int | None = None


def load_packaged(store: CatalogStore, parts: CatalogParts, now: datetime) -> CatalogChange:
    """Bring the catalog that comes with the service into the database. Safe to run twice.

    `parts` are the packaged files. Raises DocumentExists when a document was changed without a new
    version. The caller commits.
    """
    running = store.lock_for_change(None)
    store.add_payers(parts.payers)
    stored = {(row.document_id, row.version): row for row in store.listing()}
    fresh: list[RuleDocument] = []
    for document in parts.documents:
        known = stored.get((document.document_id, document.version))
        if known is None:
            fresh.append(document)
        elif known.body != document.body:
            raise DocumentExists(
                f"{document.document_id} version {document.version} was loaded with other content"
            )
    renewed = store.reference(running) != parts.reference
    if not fresh and not renewed:
        return CatalogChange(catalog_version=running, created=False, activated=False)
    version = running + 1
    for document in fresh:
        store.insert(_row(document, now, "packaged", activated_in=version))
    if renewed:
        store.put_reference(version, parts.reference)
    store.raise_version(version)
    members = store.request_refolds(None, catalog_cause(version).id)
    return CatalogChange(catalog_version=version, created=True, activated=True, members=members)


def put_document(
    store: CatalogStore,
    catalog: Catalog,
    document: RuleDocument,
    now: datetime,
    *,
    loaded_by: str,
    activate: bool,
) -> CatalogChange:
    """Load a version of a rule document and, unless told not to, let it run.

    `catalog` is the running one: a document that contradicts it raises CatalogConflict and changes
    nothing; where somebody else changed it meanwhile, ConcurrentChange is raised and the whole
    transaction is to be tried again. The same version with the same content changes nothing; with other
    content it raises DocumentExists. The caller commits, and wakes the shards of the members to be
    folded again.
    """
    payers = touched_payers(catalog, document)
    running = store.lock_for_change(payers)
    if running != catalog.version:
        raise ConcurrentChange
    known = store.find(document.document_id, document.version)
    if known is not None and known.body != document.body:
        raise DocumentExists
    after = catalog.with_documents([document], running + 1)
    if known is not None and (known.activated_in is not None or not activate):
        return CatalogChange(
            catalog_version=running,
            created=False,
            activated=known.activated_in is not None,
            in_force=versions_in_force(catalog, document.document_id),
            ran_since=known.activated_in,
        )
    version = running + 1 if activate else running
    if known is None:
        store.insert(_row(document, now, loaded_by, activated_in=version if activate else None))
    else:
        store.activate(document.document_id, document.version, version)
    if not activate:
        return CatalogChange(
            catalog_version=running,
            created=True,
            activated=False,
            in_force=versions_in_force(catalog, document.document_id),
        )
    store.raise_version(version)
    members = store.request_refolds(payers, catalog_cause(version).id)
    return CatalogChange(
        catalog_version=version,
        created=known is None,
        activated=True,
        members=members,
        in_force=versions_in_force(after, document.document_id),
    )


def versions_in_force(catalog: Catalog, document_id: str) -> tuple[VersionDates, ...]:
    """When each version of a document is in force by a catalog, in order of date."""
    return in_force(dates_of(other) for other in catalog.documents if other.document_id == document_id)


def touched_payers(catalog: Catalog, document: RuleDocument) -> Sequence[str] | None:
    """The payers whose answers a version of a document can change; None when those are all.

    A version takes the place of the earlier ones, so it also touches the payers that only they name.
    """
    versions = [
        document,
        *(other for other in catalog.documents if other.document_id == document.document_id),
    ]
    named = [payers_of(version) for version in versions]
    if any(payers is None for payers in named):
        return None
    return sorted({payer for payers in named for payer in payers or ()})


def payers_of(document: RuleDocument) -> Sequence[str] | None:
    """The payers a document names; None when it speaks of any payer's plans."""
    return None if document.payers is None else sorted(document.payers)


def _row(document: RuleDocument, now: datetime, loaded_by: str, activated_in: int | None) -> DocumentRow:
    payers = payers_of(document)
    return DocumentRow(
        document_id=document.document_id,
        version=document.version,
        payer_id=payers[0] if payers is not None and len(payers) == 1 else None,
        body=document.body,
        loaded_at=now,
        loaded_by=loaded_by,
        activated_in=activated_in,
        retired_in=None,
    )
