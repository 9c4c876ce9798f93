"""How often each client may call, over all processes, without asking Redis at each call.

A process takes permits from the client's window in Redis by the block, a twentieth of a second's worth,
and gives them out by itself. Those left over serve later windows, so that in any window a client has at
most its limit and a block for each process. While Redis does not answer, each process lets the client's
limit through by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from shared.domain.client import Client
from shared.domain.errors import CountersUnavailable
from shared.domain.record import record

WINDOW_SECONDS = 1

#: A block is this part of a client's limit.
BLOCKS_A_WINDOW = 20

#: After Redis failed, nobody asks it again for this long: it may have let the last one wait.
PAUSE_SECONDS = 5.0

#: Clients whose permits are kept; more than this are unheard of.
CLIENTS_MAX = 10_000


class RateWindows(Protocol):
    """Counts of calls that all processes share."""

    def take(self, client_id: str, permits: int, window_milliseconds: int) -> tuple[int, int]:
        """Count so many calls of a client; the count of the window with them, and its milliseconds left.

        Raises CountersUnavailable.
        """
        ...


@record(frozen=True, slots=True)
class RateStanding:
    """Where a client stands after a call: whether it may be served, and what its headers say."""

    is_admitted: bool
    limit: int
    remaining: int

    def headers(self) -> tuple[tuple[str, str], ...]:
        """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4)."""
        return (
            ("RateLimit-Policy", f'"default";q={self.limit};w={WINDOW_SECONDS}'),
            # A window is the least there is to wait, so that it always ends within it.
            ("RateLimit", f'"default";r={self.remaining};t={WINDOW_SECONDS}'),
        )


@dataclass(slots=True, eq=False)
class _Permits:
    """What this process holds for one client. `beyond` is what its window has left for everybody."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: int = 0
    beyond: int = 0
    window_ends: float = 0.0
    is_shared: bool = True


class RateLimiter:
    """Says of each call whether its client calls too often. Shared by threads."""

    def __init__(self, windows: RateWindows, monotonic: Callable[[], float]) -> None:
        """Share `windows` with other processes; `monotonic` is a clock in seconds that never goes back."""
        self._windows = windows
        self._monotonic = monotonic
        self._permits: dict[str, _Permits] = {}
        self._paused_until = float("-inf")

    def admit(self, client: Client) -> RateStanding:
        """Count a call of this client. It waits for Redis only when a block is used up."""
        limit = client.requests_per_second
        permits = self._permits.get(client.client_id) or self._begin(client.client_id)
        with permits.lock:
            now = self._monotonic()
            is_over = now >= permits.window_ends
            if permits.held <= 0 or (is_over and not permits.is_shared):
                if not is_over and permits.beyond <= 0:
                    return RateStanding(False, limit, 0)
                self._take_block(client, permits, now)
                if permits.held <= 0:
                    return RateStanding(False, limit, 0)
                is_over = False
            permits.held -= 1
            # Of a window that has not begun nothing is used but this call.
            remaining = limit - 1 if is_over else min(limit, permits.held + permits.beyond)
            return RateStanding(True, limit, remaining)

    def _begin(self, client_id: str) -> _Permits:
        if len(self._permits) >= CLIENTS_MAX:
            self._permits = {}
        return self._permits.setdefault(client_id, _Permits())

    def _take_block(self, client: Client, permits: _Permits, now: float) -> None:
        """Take the next permits, from the shared window or, without Redis, from one of our own."""
        limit = client.requests_per_second
        if now >= self._paused_until:
            block = max(1, limit // BLOCKS_A_WINDOW)
            try:
                count, milliseconds = self._windows.take(client.client_id, block, WINDOW_SECONDS * 1000)
            except CountersUnavailable:
                self._paused_until = self._monotonic() + PAUSE_SECONDS
            else:
                permits.is_shared = True
                permits.held = max(0, min(block, limit - (count - block)))
                permits.beyond = max(0, limit - count)
                permits.window_ends = self._monotonic() + milliseconds / 1000
                return
        permits.is_shared = False
        permits.held, permits.beyond = limit, 0
        permits.window_ends = self._monotonic() + WINDOW_SECONDS
