"""A bound on how long a caller waits for Postgres, also when the server or the network is stuck.

A server-side time-out needs a server that answers. Here a watchdog thread shuts the socket of a
connection that has not finished by its deadline; the driver then fails at once, as if the server had
closed it, and the pool replaces the connection.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import threading
import time
from typing import Any

import psycopg


class Watchdog:
    """Shuts connections that outlive their deadline. One thread for the whole process."""

    def __init__(self) -> None:
        """Start idle; the thread starts with the first guarded connection."""
        self._lock = threading.Condition()
        self._due: list[tuple[float, int]] = []
        self._guarded: dict[int, psycopg.Connection[Any]] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def guard(self, connection: psycopg.Connection[Any], seconds: float) -> int:
        """Shut `connection` once `seconds` have passed, unless it is released before, by the number given."""
        with self._lock:
            number = next(self._numbers)
            self._guarded[number] = connection
            heapq.heappush(self._due, (time.monotonic() + seconds, number))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="postgres-deadline", daemon=True)
                self._thread.start()
            elif self._due[0][1] == number:
                self._lock.notify()
        return number

    def release(self, number: int) -> None:
        """Leave a connection alone from here on: never again is it shut for this."""
        with self._lock:
            self._guarded.pop(number, None)

    def _watch(self) -> None:
        with self._lock:
            while True:
                now = time.monotonic()
                while self._due and (self._due[0][0] <= now or self._due[0][1] not in self._guarded):
                    _, number = heapq.heappop(self._due)
                    connection = self._guarded.pop(number, None)
                    if connection is not None:
                        _shut(connection)
                self._lock.wait(max(0.0, self._due[0][0] - now) if self._due else None)


def _shut(connection: psycopg.Connection[Any]) -> None:
    """Shut the socket under a connection that another thread is waiting on."""
    with contextlib.suppress(OSError, psycopg.Error):
        duplicate = socket.socket(fileno=socket.dup(connection.fileno()))
        with duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
