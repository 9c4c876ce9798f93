"""All that the two services share about each other: tasks, queues, flags and the shards they name.

Tasks carry a shard number or nothing: no events, and nothing about people (I8). Losing every queued
task costs a sweep interval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

#: How many shards the inbox is split into: the bound on parallel draining. A power of two.
SHARDS = 64

#: The queue of wake-ups and the queue of everything periodic; the worker consumes both.
DRAIN_QUEUE = "needlecap.drain"
PERIODIC_QUEUE = "needlecap.periodic"
QUEUES: tuple[str, ...] = (DRAIN_QUEUE, PERIODIC_QUEUE)

DRAIN_SHARD = "needlecap.drain_shard"
SWEEP = "needlecap.sweep"
EXPIRE_HOLDS = "needlecap.expire_holds"
SAMPLE_DRIFT = "needlecap.sample_drift"
PRUNE_AUDIT = "needlecap.prune_audit"
FORGET_EXPIRED = "needlecap.forget_expired"
CLOSE_PERIODS = "needlecap.close_periods"

#: What was missed by wake-ups is found within this time; a counter lags Postgres by at most this (I5).
SWEEP_SECONDS = 1.0


#: `_PAYERS_REMEMBERED` payers, and `_HANDLES_REMEMBERED` members of each, whose shards are remembered.
_PAYERS_REMEMBERED = 8
_HANDLES_REMEMBERED = 16_384


class _ShardsOfPayer(dict[str, int]):
    """The shards of a payer's members, or visits, by their ids, worked out when they are first asked for.

    Shared by threads: two may work out the same shard, which comes to the same.
    """

    def __init__(self, payer_id: str) -> None:
        """Nothing is known yet."""
        super().__init__()
        self._payer_id = payer_id

    def __missing__(self, handle: str) -> int:
        if len(self) >= _HANDLES_REMEMBERED:
            self.clear()
        digest = hashlib.blake2b(f"{self._payer_id}\x00{handle}".encode(), digest_size=2).digest()
        shard = self[handle] = int.from_bytes(digest, "big") % SHARDS
        return shard


@lru_cache(maxsize=_PAYERS_REMEMBERED)
def _shards_of_payer(payer_id: str) -> _ShardsOfPayer:
    return _ShardsOfPayer(payer_id)


def shard_of(payer_id: str, handle: str) -> int:
    """The shard of a member (`handle` is the member id), or of a visit nothing is known of yet.

    Remembered, since members come again: a stream asks for thousands.
    """
    return _shards_of_payer(payer_id)[handle]


def shards_of(payer_id: str, handles: Iterable[str]) -> list[int]:
    """The shard of each of these members of a payer, or visits; see `shard_of`."""
    return list(map(_shards_of_payer(payer_id).__getitem__, handles))


def wake_flag(shard: int) -> str:
    """The Redis key that says a wake-up for this shard is already on its way."""
    return f"needlecap:wake:{shard}"
