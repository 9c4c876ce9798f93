"""The addresses that clients' public keys may be fetched from."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from environs import Env

from shared.adapters.environment import SettingsError

URL_LENGTH_MAX = 2_000


def jwks_urls_allowed(env: Env) -> tuple[str, ...]:
    """The addresses that clients' public keys may be fetched from. Raises SettingsError for a bad one."""
    entries = tuple(entry.strip() for entry in env.str("NEEDLECAP_JWKS_URL_ALLOWED", "").split(","))
    named = tuple(entry for entry in entries if entry)
    if not all(map(_is_plain, named)):
        raise SettingsError(
            "NEEDLECAP_JWKS_URL_ALLOWED must be https addresses, separated by commas; one that ends with / "
            "allows all below it."
        )
    return named


def url_is_allowed(url: str, allowed: Sequence[str]) -> bool:
    """Whether a JWK Set may be fetched from this address: one that is listed, or lies below one.

    An entry that ends with a slash allows every address that begins with it, any other only itself.
    """
    if not _is_plain(url):
        return False
    return any(url == entry or (entry.endswith("/") and url.startswith(entry)) for entry in allowed)


def _is_plain(url: str) -> bool:
    """Whether an address is https and says where it leads: nothing encoded, relative or secret in it."""
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable():
        return False
    if any(sign in url for sign in " \\%@#?"):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    steps = parts.path.split("/")
    return (
        url.startswith("https://")
        and bool(parts.hostname)
        and port != 0
        and parts.path.startswith("/")
        and not {".", ".."} & set(steps)
    )
