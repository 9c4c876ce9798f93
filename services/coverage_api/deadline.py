"""How long one call may take of Postgres in all, so that a call never waits past five seconds (I13)."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from services.coverage_api.ports import ApiTransaction, LookingStore
from shared.domain.errors import StoreUnavailable
from shared.ports import Ahead

T = TypeVar("T")

#: Seconds of Postgres per call. Waiting for a connection comes on top, see bootstrap.
CALL_SECONDS = 3.8

_deadline: contextvars.ContextVar[float | None] = contextvars.ContextVar("needlecap_deadline", default=None)


class BudgetedStore:
    """Bounds the transactions of a call by what is left of its time."""

    def __init__(self, store: LookingStore, monotonic: Callable[[], float]) -> None:
        """Hand out the transactions of `store`; `monotonic` is a clock in seconds that never goes back."""
        self._store = store
        self._monotonic = monotonic

    def begin_call(self) -> None:
        """Start the time of the call that this thread now serves."""
        _deadline.set(self._monotonic() + CALL_SECONDS)

    def give_back(self, seconds: float) -> None:
        """Lengthen the call's time by what it spent on waiting for its caller."""
        deadline = _deadline.get()
        if deadline is not None:
            _deadline.set(deadline + seconds)

    def seconds_left(self) -> float:
        """What is left of the call's time; all of it in a thread that serves no call."""
        deadline = _deadline.get()
        return CALL_SECONDS if deadline is None else deadline - self._monotonic()

    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None, ahead: Ahead | None = None
    ) -> AbstractContextManager[ApiTransaction]:
        """A transaction of at most `seconds`, or of what is left of the call's time.

        Raises StoreUnavailable when nothing is left.
        """
        return self._store.transaction(payers, seconds=self._bound(seconds), ahead=ahead)

    def look(self, question: Callable[[ApiTransaction], T]) -> T:
        """What one statement reads, within what is left of the call's time. See LookingStore.

        Raises StoreUnavailable when nothing is left.
        """
        return self._store.look(question, seconds=self._bound(None))

    def _bound(self, seconds: float | None) -> float | None:
        deadline = _deadline.get()
        if seconds is None and deadline is not None:
            seconds = deadline - self._monotonic()
            if seconds <= 0:
                raise StoreUnavailable
        return seconds
