"""Windows in which calls are counted for all processes together (I5: any of it may be lost at any moment)."""

from __future__ import annotations

import redis
from redis.exceptions import RedisError

from shared.domain.errors import CountersUnavailable

_PREFIX = "needlecap:rate:"


class RedisRateWindows:
    """Counts of calls by client, each in a window that begins with its first call."""

    def __init__(self, client: redis.Redis) -> None:
        """Use `client` (bytes in, bytes out)."""
        self._client = client

    def take(self, client_id: str, permits: int, window_milliseconds: int) -> tuple[int, int]:
        """Count so many calls of a client; the count of the window with them, and its milliseconds left.

        Raises CountersUnavailable.
        """
        name = f"{_PREFIX}{{{client_id}}}"
        # One transaction: a window without an end would never let anybody in again.
        pipe = self._client.pipeline(transaction=True)
        pipe.incrby(name, permits)
        pipe.pexpire(name, window_milliseconds, nx=True)
        pipe.pttl(name)
        try:
            count, _, left = pipe.execute()
        except RedisError as error:
            raise CountersUnavailable from error
        return int(count), max(0, int(left))
