"""Loopback ports: which are free, and which to give the embedded servers."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"
# Below the range from which systems take ports for outgoing connections, so that no passing connection
# can sit on a server's port while the server is being started again.
EMBEDDED_PORTS = range(20_000, 30_000)
ATTEMPTS_MAX = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that connections still closing do not count as a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose(preferred: int | None, taken: Collection[int] = ()) -> int:
    """The preferred port if it is free and not given away already, else a free one at random."""
    candidates = random.sample(EMBEDDED_PORTS, ATTEMPTS_MAX)
    if preferred is not None:
        candidates.insert(0, preferred)
    return next(port for port in candidates if port not in taken and is_free(port))
