"""The record of an answer: what was asked, what was said, when, and by which rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.client import Role
from shared.domain.evaluation import Audience
from shared.domain.record import record

#: What an answer says of the events that wait. Within a JSON text the quotes would be escaped.
_NONE_WAITS = b'"pending_events":0'


def telling_of(pending_events: int, said: bytes) -> bytes:
    """What is said of a member of whom so many events wait, from what is said where none waits.

    Both are JSON in UTF-8, as orjson writes it. Answers from before this was told apart say their number
    already, and stay as they are.
    """
    if not pending_events:
        return said
    return said.replace(_NONE_WAITS, b'"pending_events":%d' % pending_events)


def audience_of(role: Role) -> Audience:
    """Whom an answer to a client of this role is for: an EHR's provider, or a portal's member."""
    return "member" if role == "portal" else "provider"


@record(frozen=True, slots=True, kw_only=True)
class DeterminationRecord:
    """An answered eligibility check. `request` and `body` are JSON texts in UTF-8, kept as they were.

    The body is in two parts: `opening` is this answer's alone, and many answers have `said` in common,
    in which nothing waits (`telling_of`). `standing` is what it was decided from, for deciding it again; None
    where that was not kept. It says `pending_events`, too.
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
    pending_events: int

    @property
    def body(self) -> bytes:
        """The whole body."""
        return self.opening + telling_of(self.pending_events, self.said)


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
