"""The record of an answer: what was asked, what was said, when, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.client import Role
from shared.domain.evaluation import Audience
from shared.domain.record import record


def audience_of(role: Role) -> Audience:
    """Whom an answer to a client of this role is for: an EHR's provider, or a portal's member."""
    return "member" if role == "portal" else "provider"


@record(frozen=True, slots=True, kw_only=True)
class DeterminationRecord:
    """An answered eligibility check. `request` and `body` are JSON texts in UTF-8, kept as they were.

    The body is in two parts: `opening` is this answer's alone, and many answers have `said` in common.
    `standing` is what it was decided from, for deciding it again; None where that was not kept.
    """

    check_id: str
    payer_id: str
    client_id: str
    decided_at: datetime
    catalog_version: int
    request: bytes
    opening: bytes
    said: bytes
    standing: bytes | None

    @property
    def body(self) -> bytes:
        """The whole body."""
        return self.opening + self.said


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredCheck:
    """A recorded answer with the names of who asked and of whose rules answered."""

    record: DeterminationRecord
    client_name: str
    client_role: Role
    payer_name: str

    @property
    def audience(self) -> Audience:
        """Whom the answer was for."""
        return audience_of(self.client_role)
