"""Commands that only read have connections of their own, and get their own answers on them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from shared.adapters.redis.asking import KEPT_MAX, Asking
from shared.adapters.redis.connection import connect


class Interrupted(redis.Connection):
    """A connection whose user is interrupted once it has asked for "second"."""

    def send_command(self, *args: Any, **kwargs: Any) -> None:
        """Send it; the answer is under way then."""
        as_ever: Any = super()
        as_ever.send_command(*args, **kwargs)
        if args == ("ECHO", "second"):
            raise KeyboardInterrupt


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(redis_url: str) -> None:
    """Who is interrupted between asking and hearing leaves no answer behind."""
    pool = redis.ConnectionPool.from_url(redis_url, connection_class=Interrupted, protocol=2)
    with redis.Redis.from_pool(pool) as client:
        asking = Asking(client)
        assert asking.ask("ECHO", "first") == b"first"
        with pytest.raises(KeyboardInterrupt):
            asking.ask("ECHO", "second")
        assert asking.ask("ECHO", "third") == b"third"


@pytest.mark.parametrize("most", [2, KEPT_MAX + 4])
def test_a_burst_leaves_connections_for_other_commands(redis_url: str, most: int) -> None:
    """As many as the client may have were in use at once; all but a few of them serve others afterwards."""
    with connect(f"{redis_url}?max_connections={most}") as client, ThreadPoolExecutor(most) as threads:
        asking = Asking(client)
        waiting = [threads.submit(asking.ask, "BLPOP", "nobody-writes-here", "0.3") for _ in range(most)]
        assert [wait.result() for wait in waiting] == [None] * most
        assert client.ping()
        assert asking.ask("ECHO", "again") == b"again"
