"""What differs between two catalogs, and which services that can touch: seen before one is activated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from shared.domain.catalog import Catalog
from shared.domain.rule_document import RuleDocument

ChangeKind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChange:
    """One version of a rule document that is in one catalog only, or differs between them.

    `payers` None is any payer. The change can touch service dates in `[start, end)`; None is open.
    """

    document_id: str
    version: int
    kind: ChangeKind
    payers: frozenset[str] | None
    start: date | None
    end: date | None


def changes_between(before: Catalog, after: Catalog) -> list[DocumentChange]:
    """The rule documents that differ once `after` runs in the place of `before`, by id and version."""
    old = {(d.document_id, d.version): d for d in before.documents}
    new = {(d.document_id, d.version): d for d in after.documents}
    found: list[DocumentChange] = []
    for key in sorted({**old, **new}):
        one, other = old.get(key), new.get(key)
        if one is None and other is not None:
            found.append(_change(other, "added", (other,)))
        elif other is None and one is not None:
            found.append(_change(one, "removed", (one,)))
        elif one is not None and other is not None and one != other:
            found.append(_change(other, "changed", (one, other)))
    return found


def _change(named: RuleDocument, kind: ChangeKind, sides: tuple[RuleDocument, ...]) -> DocumentChange:
    """A change that can touch whatever either side speaks of."""
    payers: frozenset[str] | None = frozenset()
    for side in sides:
        payers = None if payers is None or side.payers is None else payers | side.payers
    starts = [side.effective_from for side in sides]
    ends = [side.effective_until for side in sides]
    return DocumentChange(
        document_id=named.document_id,
        version=named.version,
        kind=kind,
        payers=payers,
        start=None if None in starts else min(day for day in starts if day is not None),
        end=None if None in ends else max(day for day in ends if day is not None),
    )
