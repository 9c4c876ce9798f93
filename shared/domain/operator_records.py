"""What operators look at and what they do, as it is recorded with who did it and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.domain.hold import OpeningBalance
from shared.domain.records import MemberRef
from shared.domain.visit import DuplicateDecision, VisitKey

#: What a statement of an opening balance did.
StatementEffect = Literal["added", "replaced", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadEvent:
    """A visit event that failed too often. `arrival` is its number; `failure` the kind of error."""

    arrival: int
    payer_id: str
    client_name: str
    event_id: str
    type: str
    attempts: int
    failure: str | None
    received_at: datetime
    dead_since: datetime
    discarded_at: datetime | None
    discarded_by: str | None
    discard_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PossibleDuplicate:
    """A visit that may repeat an earlier one of the same member.

    `arrival` is its number, `repeats` the ids of the visits that it has a date, a code and an NPI in
    common with and that came before it.
    """

    arrival: int
    ref: MemberRef
    client_name: str
    visit: VisitKey
    repeats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """An operator's decision on a possible duplicate."""

    decision_id: str
    payer_id: str
    visit: VisitKey
    decision: DuplicateDecision
    decided_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMerge:
    """An operator's word that two members of a payer are one person: `source` is `into`."""

    merge_id: str
    source: MemberRef
    into: MemberRef
    merged_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningStatement:
    """What a source states that a member had used elsewhere."""

    statement_id: str
    ref: MemberRef
    balance: OpeningBalance
