"""Clients: the systems that call the API, with a role and the payers each may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Role = Literal["ehr", "portal", "ops", "admin"]

ROLES: tuple[Role, ...] = ("ehr", "portal", "ops", "admin")

#: A grant of every payer, later ones included.
ALL_PAYERS = "*"

#: What a transaction sees that works for no caller: the walls are at the API.
EVERY_PAYER: tuple[str, ...] = (ALL_PAYERS,)

#: Calls a client may make in a second unless an operator says otherwise.
REQUESTS_PER_SECOND = 1_000

#: The last use of a key is noted at most this often.
USES_NOTED_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A calling system. `payers` are the ids it was granted, or `*` alone for all of them.

    `requests_per_second` is how often it may call, over all processes. `credential` is what may be known
    of that by which it was identified: the prefix of its key or token, nothing if it was found otherwise.
    """

    client_id: str
    name: str
    role: Role
    payers: tuple[str, ...]
    requests_per_second: int = REQUESTS_PER_SECOND
    credential: str = ""

    @property
    def sees_all(self) -> bool:
        """Whether it was granted every payer, later ones included."""
        return ALL_PAYERS in self.payers

    def sees(self, payer_id: str) -> bool:
        """Whether it was granted this payer (which need not exist)."""
        return self.sees_all or payer_id in self.payers


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRecord:
    """What is kept of a key or an access token, with its client as it stands now.

    The client's payers are those that the credential opens: a token may have been asked for fewer than
    the client was granted. `revoked_at` is set as soon as the credential, its client or what a token
    was issued on is revoked. Only the last use of keys is noted.
    """

    client: Client
    prefix: str
    kind: Literal["key", "token"]
    digest: bytes
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_open(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired at `now`; it is expired from `expires_at` on."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def stands(self, found: CredentialRecord | None, now: datetime) -> bool:
        """Whether it was `found` again, open, and opening the same to the same client."""
        return (
            found is not None
            and found.is_open(now)
            and (found.digest, found.client, found.kind) == (self.digest, self.client, self.kind)
        )


def narrowed(granted: tuple[str, ...], asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """The payers of a token: those asked for that are granted (still); all that are, if none was named."""
    if asked is None:
        return granted
    if ALL_PAYERS in granted:
        return asked
    return tuple(payer_id for payer_id in asked if payer_id in granted)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredKeys:
    """Public keys that a client registered: a JWK Set (RFC 7517) itself, or the address of one."""

    jwks_id: str
    document: str | None
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """An access token about to be stored. `payers` are those it was asked for; None for all the client's."""

    prefix: str
    client_id: str
    digest: bytes
    jwks_id: str
    payers: tuple[str, ...] | None
    issued_at: datetime
    expires_at: datetime
