"""Public keys of clients that sign: JWK Sets (RFC 7517).

Only what SMART Backend Services names is taken: RS384 with RSA keys of 2048 bits or more, and ES384.
"""

from __future__ import annotations

import json
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey, import_key

from shared.domain.errors import NeedlecapError

ALGORITHMS = ("RS384", "ES384")

DOCUMENT_BYTES_MAX = 64 * 1024
KEYS_MAX = 20
KEY_ID_LENGTH_MAX = 200
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192


class JwksRefused(NeedlecapError):
    """These public keys cannot be registered."""


def register_jwks(document: str) -> str:
    """The JWK Set of a document, as it is to be stored.

    Raises JwksRefused naming what is wrong with the first key that could not be used: a key that is
    left out in silence would be missed only when somebody signs with it.
    """
    keys = _members(document)
    if not 0 < len(keys) <= KEYS_MAX:
        raise JwksRefused(f"A JWK Set has 1 to {KEYS_MAX} keys.")
    ids = [_usable(member, place)[0] for place, member in enumerate(keys)]
    if len(set(ids)) != len(ids):
        raise JwksRefused("Two keys have the same `kid`.")
    return json.dumps({"keys": keys})


def usable_keys(document: str) -> dict[str, Key]:
    """The keys of a JWK Set that can be used here, by `kid`; others are passed over.

    Raises JwksRefused for what is no JWK Set.
    """
    found: dict[str, Key] = {}
    for place, member in enumerate(_members(document)[:KEYS_MAX]):
        try:
            key_id, key = _usable(member, place)
        except JwksRefused:
            continue
        found.setdefault(key_id, key)
    return found


def _members(document: str) -> list[Any]:
    if len(document) > DOCUMENT_BYTES_MAX:
        raise JwksRefused(f"A JWK Set may have at most {DOCUMENT_BYTES_MAX} bytes.")
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise JwksRefused("This is not JSON.") from error
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list):
        raise JwksRefused('This is no JWK Set: an object with a list named "keys".')
    return keys


def _usable(member: Any, place: int) -> tuple[str, Key]:
    """The id and the key of one member. Raises JwksRefused saying why it cannot be used."""
    what = f"The key at place {place}"
    if not isinstance(member, dict):
        raise JwksRefused(f"{what} is no object.")
    key_id = member.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_LENGTH_MAX:
        raise JwksRefused(f"{what} has no `kid`.")
    if member.get("kty") not in {"RSA", "EC"}:
        raise JwksRefused(f"{what} is of a kind that cannot sign with {' or '.join(ALGORITHMS)}.")
    try:
        key = import_key(member)
        private = key.is_private
    except (JoseError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise JwksRefused(f"{what} is malformed.") from error
    if private:
        raise JwksRefused(f"{what} is a private key: keep it to yourself, and draw a new one.")
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ["verify"]):
        raise JwksRefused(f"{what} is not for signatures.")
    if isinstance(key, RSAKey):
        if not RSA_BITS_MIN <= key.public_key.key_size <= RSA_BITS_MAX:
            raise JwksRefused(f"{what} has fewer than {RSA_BITS_MIN} bits, or more than {RSA_BITS_MAX}.")
        fits = member.get("alg", "RS384") == "RS384"
    else:
        fits = isinstance(key, ECKey) and key.curve_name == "P-384" and member.get("alg", "ES384") == "ES384"
    if not fits:
        raise JwksRefused(f"{what} cannot sign with {' or '.join(ALGORITHMS)}.")
    return key_id, key
