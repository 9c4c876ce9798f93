"""Finds the public key that an assertion names, among those its client registered."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from joserfc.jwk import Key

from services.coverage_api.jwks_fetch import JwksUnavailable
from shared.adapters.jwks import JwksRefused, usable_keys
from shared.domain.client import RegisteredKeys

#: A fetched set is used this long without asking again.
KEPT_SECONDS = 300.0

#: An address is asked at most this often, whatever key ids are named.
ASKED_EVERY_SECONDS = 30.0

#: Addresses whose keys are remembered; the list of allowed ones bounds them in earnest.
REMEMBERED_MAX = 1_000


@dataclass(slots=True, eq=False)
class _Fetched:
    """What is known of one address. Whoever holds the lock may ask it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: Mapping[str, Key] = field(default_factory=dict)
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")


class JwksSource:
    """Public keys by id. Those behind an address are kept for a short time. Shared by threads."""

    def __init__(self, fetch: Callable[[str], str], monotonic: Callable[[], float]) -> None:
        """Fetch with `fetch`, which raises JwksUnavailable; `monotonic` is a clock that never goes back."""
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._fetched: dict[str, _Fetched] = {}

    def find(
        self, registered: Sequence[RegisteredKeys], key_id: str, jku: str | None
    ) -> tuple[str, Key] | None:
        """The registration and the key of this id, or None. With `jku` only sets at that address count.

        Raises JwksUnavailable if the key may lie behind an address that does not answer.
        """
        unavailable: JwksUnavailable | None = None
        for entry in sorted(registered, key=lambda found: found.url is not None):
            if jku is not None and entry.url != jku:
                continue
            try:
                key = self._keys(entry, key_id).get(key_id)
            except JwksUnavailable as error:
                unavailable = error
                continue
            if key is not None:
                return entry.jwks_id, key
        if unavailable is not None:
            raise unavailable
        return None

    def _keys(self, entry: RegisteredKeys, key_id: str) -> Mapping[str, Key]:
        if entry.url is None:
            return _inline(entry.document or "")
        known = self._known(entry.url)
        with known.lock:
            now = self._monotonic()
            is_kept = now - known.fetched_at < KEPT_SECONDS
            may_ask = now - known.asked_at >= ASKED_EVERY_SECONDS
            if may_ask and not (is_kept and key_id in known.keys):
                known.asked_at = now
                try:
                    known.keys = usable_keys(self._fetch(entry.url))
                    known.fetched_at = self._monotonic()
                except JwksRefused as error:
                    raise JwksUnavailable("The address of the client's keys holds no JWK Set.") from error
            elif not is_kept:
                raise JwksUnavailable("The client's keys could not be fetched a moment ago.")
            return known.keys

    def _known(self, url: str) -> _Fetched:
        with self._lock:
            if url not in self._fetched and len(self._fetched) >= REMEMBERED_MAX:
                self._fetched.clear()
            return self._fetched.setdefault(url, _Fetched())


@functools.lru_cache(maxsize=256)
def _inline(document: str) -> Mapping[str, Key]:
    """The keys of a registered set, which never changes."""
    return usable_keys(document)
