"""Trying a transaction again when somebody else changed the same visit in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from shared.domain.errors import ConcurrentChange, StoreUnavailable

T = TypeVar("T")

ATTEMPTS_MAX = 5


def retrying(work: Callable[[], T]) -> T:
    """What `work`, a whole transaction, returns; it is tried again after a ConcurrentChange.

    Raises StoreUnavailable when it was in vain ATTEMPTS_MAX times: then nothing was changed.
    """
    for _ in range(ATTEMPTS_MAX):
        try:
            return work()
        except ConcurrentChange:
            continue
    raise StoreUnavailable("others keep changing the same visits")
