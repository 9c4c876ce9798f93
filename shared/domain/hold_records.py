"""Holds and overrides as they are asked for and as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.hold import HoldState, Override
from shared.domain.records import MemberRef


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """A valid request for a hold. `content` is its JSON object in the contract's field names."""

    hold_id: str
    ref: MemberRef
    client_id: str
    idempotency_key: str
    payload_digest: bytes
    content: Mapping[str, Any]
    quantity: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHold:
    """A granted hold as it is first stored; `answer` is what its client is told, for ever."""

    request: HoldRequest
    arrival: int
    state: HoldState
    outcome: Mapping[str, Any]
    answer: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRow:
    """A hold as stored."""

    hold_id: str
    ref: MemberRef
    client_id: str
    payload_digest: bytes
    state: HoldState
    expires_at: datetime
    content: Mapping[str, Any]
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """What a client named its request, and the SHA-256 of what the request said."""

    idempotency_key: str
    payload_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOverride:
    """An override as it is first stored, with who granted it and why.

    `request` is None if the client gave its request no name: then a repeat of it is another override.
    """

    override: Override
    ref: MemberRef
    client_id: str
    approver: str
    reason: str
    created_at: datetime
    request: RequestKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRow:
    """An override as stored. `payload_digest` is there if the request for it had a name."""

    override: Override
    ref: MemberRef
    approver: str
    reason: str
    created_at: datetime
    revoked_at: datetime | None
    payload_digest: bytes | None = None
