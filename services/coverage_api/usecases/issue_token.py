"""An access token for a client that proved who it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.coverage_api.errors import TokenRefused
from services.coverage_api.ports import Tools
from shared.domain.client import NewToken
from shared.domain.client_key import key_digest, new_token

TOKEN_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled:
    """What a client proved to be entitled to, and the assertion it did so with.

    `payers` are those it asked for, None for all it has. From `assertion_ends_at` on the assertion would
    be refused by itself; until then its `jti` is remembered.
    """

    client_id: str
    jwks_id: str
    payers: tuple[str, ...] | None
    jti: str
    assertion_ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token, shown once, that opens until `seconds` from now."""

    token: str = field(repr=False)
    seconds: int


def issue_token(
    tools: Tools, hash_key: bytes, random_bytes: Callable[[int], bytes], entitled: Entitled
) -> IssuedToken:
    """Store a new token; the assertion is used up in the same commit.

    Raises TokenRefused (`invalid_client`) when the assertion was shown before, on whatever process.
    """
    now = tools.clock()
    token, prefix = new_token(random_bytes)
    with tools.store.transaction(()) as tx:
        jti_digest = hashlib.sha256(entitled.jti.encode()).digest()
        if not tx.clients.use_assertion(entitled.client_id, jti_digest, entitled.assertion_ends_at):
            raise TokenRefused("invalid_client", "The assertion was shown before (`jti`).")
        tx.clients.issue(
            NewToken(
                prefix=prefix,
                client_id=entitled.client_id,
                digest=key_digest(hash_key, token),
                jwks_id=entitled.jwks_id,
                payers=entitled.payers,
                issued_at=now,
                expires_at=now + timedelta(seconds=TOKEN_SECONDS),
            )
        )
        tx.commit()
    return IssuedToken(token=token, seconds=TOKEN_SECONDS)
