"""Wake flags: one Redis key per shard that says a wake-up is on its way, so that no second is sent."""

from __future__ import annotations

import redis
from redis.exceptions import RedisError

from shared.domain.errors import CountersUnavailable
from shared.messages import SHARDS, wake_flag


class RedisWakeFlags:
    """The side of the flags where wake-ups arrive."""

    def __init__(self, client: redis.Redis) -> None:
        """Use `client`."""
        self._client = client

    def lower_raised(self) -> list[int]:
        """Lower every flag; the shards whose flag was up. From now on their wake-ups are sent again.

        Raises CountersUnavailable.
        """
        try:
            pipeline = self._client.pipeline(transaction=False)
            for shard in range(SHARDS):
                pipeline.delete(wake_flag(shard))
            return [shard for shard, lowered in enumerate(pipeline.execute()) if lowered]
        except RedisError as error:
            raise CountersUnavailable from error
