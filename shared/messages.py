"""All that the two services share about each other: tasks, queues, flags and the shards they name.

Tasks carry a shard number or nothing: no events, and nothing about people (I8). Losing every queued
task costs a sweep interval.
"""

from __future__ import annotations

import hashlib
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


@lru_cache(maxsize=16_384)
def shard_of(payer_id: str, handle: str) -> int:
    """The shard of a member (`handle` is the member id), or of a visit nothing is known of yet.

    Remembered, since members come again: a stream asks for thousands.
    """
    digest = hashlib.blake2b(f"{payer_id}\x00{handle}".encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") % SHARDS


def wake_flag(shard: int) -> str:
    """The Redis key that says a wake-up for this shard is already on its way."""
    return f"needlecap:wake:{shard}"
