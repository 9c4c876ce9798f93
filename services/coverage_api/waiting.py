"""`Prefer: wait=N` (RFC 7240), and how many requests may take long at the same time."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

WAIT_SECONDS_MAX = 10

_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?\s*(?:;.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)


def preferred_wait(header: str | None) -> int | None:
    """The seconds a client is ready to wait, at most ten; None if it does not say, or not legibly."""
    for preference in (header or "").split(","):
        match = _WAIT.fullmatch(preference.strip())
        if match:
            return min(int(match[1]), WAIT_SECONDS_MAX)
    return None


class WaitingRoom:
    """Bounds how many requests take long at the same time, so that they never keep the others out."""

    def __init__(self, places: int) -> None:
        """Have room for `places` requests."""
        self._places = threading.BoundedSemaphore(places)

    @contextlib.contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there is a place; it is kept until the block ends."""
        taken = self._places.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._places.release()
