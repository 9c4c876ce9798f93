"""Wake flags: one Redis key per shard that says a wake-up is on its way, so that no second is sent."""

from __future__ import annotations

import redis
from redis.exceptions import RedisError

from shared.domain.errors import CountersUnavailable
from shared.messages import wake_flag


class RedisWakeFlags:
    """The side of the flags where wake-ups arrive."""

    def __init__(self, client: redis.Redis) -> None:
        """Use `client`."""
        self._client = client

    def lower(self, shard: int) -> None:
        """From now on a wake-up is sent again. Raises CountersUnavailable."""
        try:
            self._client.delete(wake_flag(shard))
        except RedisError as error:
            raise CountersUnavailable from error
