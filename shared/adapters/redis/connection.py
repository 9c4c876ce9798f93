"""Connections to Redis that never wait long: Postgres answers what Redis does not."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as DroppedConnection
from redis.retry import Retry

CONNECT_SECONDS = 1.0
#: For each answer; a new connection with a first command needs two or three.
ANSWER_SECONDS = 0.5


def connect(url: str) -> redis.Redis:
    """A client of `url` (`redis://` or `rediss://`) with a pool of its own; connects when first used.

    A connection that the server dropped meanwhile is replaced at once and the command sent again; one
    that does not answer in time is given up, since trying again would only double the wait.
    """
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1, supported_errors=(DroppedConnection,)),
        # These spare a new connection questions that could each take their time.
        protocol=2,
        driver_info=None,
    )
