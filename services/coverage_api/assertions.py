"""Client assertions: a calling system proves who it is with a signature (RFC 7523, SMART)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import extract_compact
from joserfc.jwt import JWTClaimsRegistry

from services.coverage_api.errors import TokenRefused
from shared.adapters.jwks import ALGORITHMS, KEY_ID_LENGTH_MAX

ASSERTION_LENGTH_MAX = 8_000
CLIENT_ID_LENGTH_MAX = 100
JTI_LENGTH_MAX = 500

#: An assertion may end at most this much later.
LIFE_SECONDS_MAX = 300

#: How far a client's clock may be ahead of ours. One that is behind needs nothing: its assertions only
#: end a little earlier.
SKEW_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What an assertion says before anything of it is believed. `jku` is where its key is said to be."""

    text: str
    client_id: str
    key_id: str
    jku: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """An assertion that its client signed for us: its id, and from when on it would be refused anyway."""

    jti: str
    ends_at: datetime


def read_claimed(text: str) -> Claimed:
    """Who an assertion says it is from, and which key it says it was signed with.

    Raises TokenRefused (`invalid_client`) for what no client of ours can have meant.
    """
    if len(text) > ASSERTION_LENGTH_MAX or not text.isascii():
        raise refused("The assertion is too long, or no JWT.")
    try:
        found = extract_compact(text.encode("ascii"))
        header: Any = found.headers()
        claims = json.loads(found.payload or b"")
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refused("The assertion is no JWT.") from error
    if not isinstance(header, dict) or header.get("alg") not in ALGORITHMS:
        raise refused(f"The assertion must be signed with {' or '.join(ALGORITHMS)}.")
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    key_id, jku = header.get("kid"), header.get("jku")
    if not isinstance(issuer, str) or not 0 < len(issuer) <= CLIENT_ID_LENGTH_MAX:
        raise refused("`iss` must be the client's id.")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_LENGTH_MAX:
        raise refused("The assertion's header names no key (`kid`).")
    if not (jku is None or isinstance(jku, str)):
        raise refused("`jku` is no address.")
    return Claimed(text=text, client_id=issuer, key_id=key_id, jku=jku)


def prove(claimed: Claimed, key: Key, *, audience: str, now: datetime) -> Proven:
    """The assertion, once its signature and every claim is right.

    Raises TokenRefused (`invalid_client`).
    """
    seconds = int(now.timestamp())
    expected: Any = {
        "iss": {"essential": True, "value": claimed.client_id},
        "sub": {"essential": True, "value": claimed.client_id},
        "aud": {"essential": True, "value": audience},
        "exp": {"essential": True},
        "jti": {"essential": True},
    }
    try:
        claims = jwt.decode(claimed.text, key, algorithms=list(ALGORITHMS)).claims
        JWTClaimsRegistry(now=seconds, leeway=SKEW_SECONDS, **expected).validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise refused(_what_is_wrong(error)) from error
    jti, ends = claims["jti"], claims["exp"]
    if not isinstance(jti, str) or not 0 < len(jti) <= JTI_LENGTH_MAX:
        raise refused("`jti` is too long, or empty.")
    # Written so that what is no number at all is refused too.
    if not seconds < ends <= seconds + LIFE_SECONDS_MAX + SKEW_SECONDS:
        raise refused(f"`exp` must lie ahead, by at most {LIFE_SECONDS_MAX} seconds.")
    return Proven(jti=jti, ends_at=datetime.fromtimestamp(ends, UTC))


def refused(description: str) -> TokenRefused:
    """The refusal of whoever could not prove to be a client."""
    return TokenRefused("invalid_client", description)


def _what_is_wrong(error: Exception) -> str:
    """The claim at fault, which is no secret, or the signature."""
    claim = getattr(error, "claim", None)
    return f"The claim `{claim}` is missing or wrong." if claim else "The signature is not the client's."
