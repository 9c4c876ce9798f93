"""What became of many events that were given to the inbox at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Places (0-based) of the given events: stored now, or there before with the same payload.

    The others clash with an event of the same name. `shards` have work now.
    """

    accepted: frozenset[int]
    replayed: frozenset[int]
    shards: frozenset[int]
