"""Client keys and access tokens: what a calling system shows, and what of it is kept.

A key is `nck_<prefix>_<secret>`, a token `nct_<prefix>_<secret>`. The prefix finds the row; of the whole
only a keyed digest is stored. The secret is 256 random bits, so nothing can be guessed and a fast HMAC
is enough: a slow password hash would only slow every request down.
"""

from __future__ import annotations

import base64
import functools
import hmac
import re
from collections.abc import Callable

KEY_MARK, TOKEN_MARK = "nck_", "nct_"
PREFIX_BYTES = 10
SECRET_BYTES = 32
_CREDENTIAL = re.compile(rf"(?:{KEY_MARK}|{TOKEN_MARK})([a-z2-7]{{16}})_([a-z2-7]{{52}})", re.ASCII)


def new_key(random_bytes: Callable[[int], bytes]) -> tuple[str, str]:
    """A new key and its prefix, made from a source of random bytes such as `secrets.token_bytes`."""
    return _new(KEY_MARK, random_bytes)


def new_token(random_bytes: Callable[[int], bytes]) -> tuple[str, str]:
    """A new access token and its prefix, as `new_key`."""
    return _new(TOKEN_MARK, random_bytes)


def key_prefix(key: str) -> str | None:
    """The prefix of a well-formed key or token, or None for anything that was never made here."""
    match = _CREDENTIAL.fullmatch(key)
    return match[1] if match else None


def key_digest(hash_key: bytes, key: str) -> bytes:
    """The 32 bytes kept of a key or token: its HMAC-SHA256 under the installation's hash key."""
    digest = _keyed(hash_key).copy()
    digest.update(key.encode())
    return digest.digest()


@functools.lru_cache(maxsize=4)
def _keyed(hash_key: bytes) -> hmac.HMAC:
    """What has taken in the hash key alone.

    `hmac.digest` would take it in for each call anew, and let go of the interpreter while it does.
    """
    return hmac.new(hash_key, digestmod="sha256")


def _new(mark: str, random_bytes: Callable[[int], bytes]) -> tuple[str, str]:
    prefix = _encode(random_bytes(PREFIX_BYTES))
    return f"{mark}{prefix}_{_encode(random_bytes(SECRET_BYTES))}", prefix


def _encode(raw: bytes) -> str:
    """Lower-case base 32 without padding: safe in headers and shells, and no two letters look alike."""
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()
