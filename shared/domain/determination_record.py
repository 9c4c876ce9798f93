"""The record of an answer: what was asked, what was said, when, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.client import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class DeterminationRecord:
    """An answered eligibility check. `request` and `body` are JSON texts in UTF-8, kept as they were."""

    check_id: str
    payer_id: str
    client_id: str
    decided_at: datetime
    catalog_version: int
    request: bytes
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredCheck:
    """A recorded answer with the names of who asked and of whose rules answered."""

    record: DeterminationRecord
    client_name: str
    client_role: Role
    payer_name: str
