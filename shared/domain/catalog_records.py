"""The rule catalog as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.rule_document import RuleDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """A rule document as stored. `body` is its canonical JSON text."""

    document_id: str
    version: int
    payer_id: str | None
    body: str
    loaded_at: datetime
    loaded_by: str
    activated_in: int | None
    retired_in: int | None

    @property
    def runs(self) -> bool:
        """Whether the running catalog has it."""
        return self.activated_in is not None and self.retired_in is None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogParts:
    """A catalog in the form it is stored: its documents, and everything else as one JSON text.

    `payers` are the names of the payers it knows, by id.
    """

    documents: tuple[RuleDocument, ...]
    reference: str
    payers: Mapping[str, str]
