"""What the API's use cases need of clients, and of what they are known by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from shared.domain.client import Client, CredentialRecord, NewToken, RegisteredKeys


class Clients(Protocol):
    """The systems that may call."""

    def find(self, prefixes: Sequence[str]) -> Mapping[str, CredentialRecord]:
        """The keys and tokens that begin with these prefixes, by prefix; unknown ones are absent."""
        ...

    def id_of(self, name: str) -> str | None:
        """The id of the client with this name, or None."""
        ...

    def signing(self, client_id: str) -> tuple[Client, list[RegisteredKeys]] | None:
        """A client that was not revoked, and the public keys it registered; None if there is none."""
        ...

    def use_assertion(self, client_id: str, jti_digest: bytes, expires_at: datetime) -> bool:
        """Remember that a client showed this assertion; False if it did before."""
        ...

    def issue(self, token: NewToken) -> None:
        """Store a token, and that what it was issued on was used."""
        ...

    def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Note when the keys of these prefixes were used, unless that was noted a moment before."""
        ...


class Unconfirmed(Protocol):
    """A request that began on what was known of its key."""

    @property
    def caller(self) -> CredentialRecord | None:
        """The key as it was known; None where it has been looked up since the request came."""
        ...


class Reading(Protocol):
    """A transaction in which keys can be looked up."""

    @property
    def clients(self) -> Clients:
        """The systems that may call."""
        ...


class Keys(Protocol):
    """What is known of keys and access tokens."""

    def confirm(self, tx: Reading, requests: Sequence[Unconfirmed], now: datetime) -> list[bool]:
        """For each request, in order, whether its key is still what it was known to be."""
        ...
