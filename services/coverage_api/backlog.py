"""Whether more events may come in: not while those that were accepted wait too long to be applied."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from services.coverage_api.deadline import BudgetedStore
from services.coverage_api.errors import Backlogged
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.ports import Clock

#: The inbox is looked at at most this often, whatever comes in.
LOOK_SECONDS = 1.0
#: A look that takes longer is given up, so that the call it was made for still has its time.
LOOK_SECONDS_MAX = 1.0

RETRY_SECONDS = 5


class Backlog:
    """How long accepted events wait, remembered for a second. Shared by threads."""

    def __init__(
        self,
        read_oldest: Callable[[datetime], datetime | None],
        clock: Clock,
        monotonic: Callable[[], float],
        *,
        seconds_max: int,
    ) -> None:
        """Refuse once the oldest event that could be applied has waited longer than `seconds_max`; 0: never.

        `read_oldest` tells when the oldest event due at an instant was received, None if none waits, and
        raises StoreUnavailable. `monotonic` is a clock in seconds that never goes back.
        """
        self._read_oldest = read_oldest
        self._clock = clock
        self._monotonic = monotonic
        self._seconds_max = seconds_max
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._is_full = False

    def require_room(self) -> None:
        """Raises Backlogged while too much waits. Not knowing is no reason to refuse."""
        if self._seconds_max == 0:
            return
        # Whoever comes while another looks goes by the look before.
        if self._lock.acquire(blocking=False):
            try:
                self._look_if_due()
            finally:
                self._lock.release()
        if self._is_full:
            raise Backlogged(RETRY_SECONDS)

    def _look_if_due(self) -> None:
        if self._looked_at is not None and self._monotonic() - self._looked_at < LOOK_SECONDS:
            return
        now = self._clock()
        try:
            oldest = self._read_oldest(now)
        except StoreUnavailable:
            # Accepting asks Postgres too, and answers 503 if it still cannot say.
            oldest = None
        self._is_full = oldest is not None and (now - oldest).total_seconds() > self._seconds_max
        self._looked_at = self._monotonic()


def oldest_due(store: BudgetedStore, now: datetime) -> datetime | None:
    """When the oldest event that could be applied at `now` was received, over all payers.

    None if none waits. Raises StoreUnavailable.
    """
    seconds = min(LOOK_SECONDS_MAX, store.seconds_left())
    if seconds <= 0:
        raise StoreUnavailable
    with store.transaction(EVERY_PAYER, seconds=seconds) as tx:
        return tx.standing.oldest_due_at(now)
