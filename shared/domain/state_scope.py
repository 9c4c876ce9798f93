"""Who may dry needle where and since when: rows by state and profession, each with its source.

Status words: `allowed`, `allowed_with_endorsement`, `prohibited`, `silent`, `pending_rules`, `unknown`.
Only `prohibited` changes a decision; the others stand beside it (contract section 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from shared.domain.evaluation import Source

ScopeStatus = Literal[
    "allowed", "allowed_with_endorsement", "prohibited", "silent", "pending_rules", "unknown"
]
SCOPE_STATUSES: tuple[ScopeStatus, ...] = (
    "allowed",
    "allowed_with_endorsement",
    "prohibited",
    "silent",
    "pending_rules",
    "unknown",
)
#: The reason code that each status gives; `allowed` gives none.
SCOPE_REASONS: Mapping[str, str] = {
    "allowed_with_endorsement": "state_scope_restricted",
    "pending_rules": "state_scope_restricted",
    "prohibited": "state_scope_prohibited",
    "silent": "state_scope_unknown",
    "unknown": "state_scope_unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRow:
    """What a state says of a profession over `[effective_from, effective_until)`; None is open.

    `endorsement` is the credential that lifts a restriction; `training` what the state asks of a
    practitioner who may.
    """

    state: str
    profession: str
    status: ScopeStatus
    text: str
    source: Source
    effective_from: date | None = None
    effective_until: date | None = None
    endorsement: str | None = None
    training: str | None = None

    def in_force(self, on: date) -> bool:
        """Whether the row speaks of a service date."""
        begun = self.effective_from is None or self.effective_from <= on
        return begun and (self.effective_until is None or on < self.effective_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateScope:
    """The rows, by (state, profession)."""

    rows: Mapping[tuple[str, str], tuple[ScopeRow, ...]] = field(default_factory=dict)

    def row(self, state: str, profession: str, on: date) -> ScopeRow | None:
        """The row in force on a service date, or None: then the scope is unknown."""
        return next((row for row in self.rows.get((state, profession), ()) if row.in_force(on)), None)
