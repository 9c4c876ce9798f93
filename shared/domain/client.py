"""Clients: the systems that call the API, with a role and the payers each may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Role = Literal["ehr", "portal", "ops", "admin"]

ROLES: tuple[Role, ...] = ("ehr", "portal", "ops", "admin")

#: A grant of every payer, later ones included.
ALL_PAYERS = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A calling system. `payers` are the ids it was granted, or `*` alone for all of them."""

    client_id: str
    name: str
    role: Role
    payers: tuple[str, ...]

    @property
    def sees_all(self) -> bool:
        """Whether it was granted every payer, later ones included."""
        return ALL_PAYERS in self.payers

    def sees(self, payer_id: str) -> bool:
        """Whether it was granted this payer (which need not exist)."""
        return self.sees_all or payer_id in self.payers


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A client with what is kept of its key, and until when that key opens anything."""

    client: Client
    key_digest: bytes
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_open(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired at `now`; it is expired from `expires_at` on."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
