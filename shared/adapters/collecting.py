"""The collector of cycles, in processes that make many objects at a time and keep few."""

from __future__ import annotations

import gc

#: New containers, less those given up, after which the young ones are searched for cycles.
_YOUNG_OBJECTS = 100_000


def collect_rarely() -> None:
    """Have the collector pass over what is there, and come after many new objects only.

    A batch of members makes tens of thousands of objects without a cycle among them: looking through
    everything for cycles again and again took a third of the drain's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
