"""Client keys: what a calling system shows, and what of it is kept.

A key is `nck_<prefix>_<secret>`. The prefix finds the client's row; of the whole key only a keyed
digest is stored. The secret is 256 random bits, so nothing can be guessed and a fast HMAC is enough:
a slow password hash would only slow every request down.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable

PREFIX_BYTES = 10
SECRET_BYTES = 32
_KEY = re.compile(r"nck_([a-z2-7]{16})_([a-z2-7]{52})", re.ASCII)


def new_key(random_bytes: Callable[[int], bytes]) -> tuple[str, str]:
    """A new key and its prefix, made from a source of random bytes such as `secrets.token_bytes`."""
    prefix = _encode(random_bytes(PREFIX_BYTES))
    return f"nck_{prefix}_{_encode(random_bytes(SECRET_BYTES))}", prefix


def key_prefix(key: str) -> str | None:
    """The prefix of a well-formed key, or None for anything that no call of `new_key` can have made."""
    match = _KEY.fullmatch(key)
    return match[1] if match else None


def key_digest(hash_key: bytes, key: str) -> bytes:
    """The 32 bytes kept of a key: its HMAC-SHA256 under the installation's hash key."""
    return hmac.digest(hash_key, key.encode(), "sha256")


def _encode(raw: bytes) -> str:
    """Lower-case base 32 without padding: safe in headers and shells, and no two letters look alike."""
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()
