"""`Prefer: wait=N` (RFC 7240), and how many requests may take long at the same time."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Iterator

WAIT_SECONDS_MAX = 10

_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?\s*(?:;.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)


def preferred_wait(header: str | None) -> int | None:
    """The seconds a client is ready to wait, at most ten; None if it does not say, or not legibly."""
    if not header:
        return None
    for preference in header.split(","):
        match = _WAIT.fullmatch(preference.strip())
        if match:
            return min(int(match[1]), WAIT_SECONDS_MAX)
    return None


class WaitingRoom:
    """Bounds how many requests take long at the same time, so that they never keep the others out."""

    def __init__(self, places: int, *, of_one_client: int | None = None) -> None:
        """Have room for `places` requests, and for `of_one_client` of each client, if that is given."""
        self._left = places
        self._of_one_client = places if of_one_client is None else of_one_client
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def place(self, client_id: str = "") -> Iterator[bool]:
        """Whether there is a place for this client; it is kept until the block ends."""
        with self._lock:
            is_free = self._left > 0 and self._taken[client_id] < self._of_one_client
            self._left -= is_free
            self._taken[client_id] += is_free
        try:
            yield is_free
        finally:
            with self._lock:
                self._left += is_free
                self._taken[client_id] -= is_free
                if not self._taken[client_id]:
                    del self._taken[client_id]
