"""Single commands that only read, without what the client does around each.

For every command the client takes a connection from its pool, looks whether something came on it, finds out
about deprecated arguments and counts what it did: more work, for the process that asks, than a hundred keys.
Here up to `KEPT_MAX` connections stay with those who ask, and that one was dropped shows when it is asked.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import redis
from redis.exceptions import ConnectionError as DroppedConnection

#: Connections that stay, at most: half of the hundred that a client may have. Its other commands need some.
KEPT_MAX = 48


class Asking:
    """Connections of a client, kept for commands that only read. Shared by threads."""

    def __init__(self, client: redis.Redis) -> None:
        """Take connections from `client` as they are needed, and keep a few of them; it closes them."""
        self._pool = client.connection_pool
        self._kept: deque[Any] = deque()
        # An address may allow fewer, and the client's other commands need some.
        self._kept_max = min(KEPT_MAX, self._pool.max_connections // 2)

    def ask(self, *command: bytes | str) -> Any:
        """What Redis answers, as the client's parser reads it.

        A command that found its connection dropped is sent once more. Raises RedisError; the
        connection then connects again with its next command.
        """
        try:
            connection = self._kept.pop()
        except IndexError:
            connection = self._pool.get_connection()
        try:
            try:
                return _answer(connection, command)
            except DroppedConnection:
                return _answer(connection, command)
        except BaseException:
            # An answer still to be read would be taken for the next. It connects again with its next command.
            connection.disconnect()
            raise
        finally:
            if len(self._kept) < self._kept_max:
                self._kept.append(connection)
            else:
                self._pool.release(connection)


def _answer(connection: Any, command: tuple[bytes | str, ...]) -> Any:
    connection.send_command(*command)
    return connection.read_response()
