"""Results remembered by the very objects that they were made from.

Many members have the same plan, spans and counts, and these are read once for all who have them. To find out
that two objects are the same one takes no look inside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Results kept of one function.
REMEMBERED_MAX = 1_000


class OfTheSame(Generic[T]):
    """A function of objects that nobody changes, called once for the same ones. Shared by threads."""

    def __init__(self, make: Callable[..., T], most: int = REMEMBERED_MAX) -> None:
        """Remember `most` results of `make`, which takes objects by their places."""
        self._make = make
        self._most = most
        # With the objects themselves: while they are kept, no other has their identity.
        self._known: dict[tuple[int, ...], tuple[tuple[Any, ...], T]] = {}

    def __call__(self, *objects: Any) -> T:
        """What `make` makes of these objects."""
        name = tuple(map(id, objects))
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= self._most:
                self._known = {}
            known = self._known[name] = objects, self._make(*objects)
        return known[1]
