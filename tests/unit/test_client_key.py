"""Client keys: what they look like and what is kept of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import pytest

from shared.domain.client_key import key_digest, key_prefix, new_key


def test_key_is_marked_and_carries_its_prefix() -> None:
    """A key says whose it is at a glance, and its prefix can be read back from it."""
    key, prefix = new_key(secrets.token_bytes)
    assert key.startswith(f"nck_{prefix}_")
    assert key_prefix(key) == prefix


def test_key_holds_256_random_bits() -> None:
    """The secret is made of 32 random bytes, and two keys share nothing."""
    asked: list[int] = []

    def counting(count: int) -> bytes:
        asked.append(count)
        return secrets.token_bytes(count)

    first, _ = new_key(counting)
    second, _ = new_key(counting)
    assert max(asked) == 32
    assert first.split("_")[1:] != second.split("_")[1:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nck__",
        "nck_short_key",
        "NCK_" + "a" * 16 + "_" + "b" * 52,
        "nck_" + "a" * 16 + "_" + "b" * 52 + "\n",
    ],
)
def test_anything_else_has_no_prefix(text: str) -> None:
    """What no call of `new_key` can have made is told apart without asking the database."""
    assert key_prefix(text) is None


def test_digest_needs_the_hash_key() -> None:
    """The digest is HMAC-SHA256 under the installation's key, so a stolen table opens nothing."""
    key, _ = new_key(secrets.token_bytes)
    expected = hmac.new(b"k" * 32, key.encode(), hashlib.sha256).digest()
    assert key_digest(b"k" * 32, key) == expected
    assert key_digest(b"j" * 32, key) != expected
