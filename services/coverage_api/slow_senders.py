"""Cuts off whoever keeps a connection busy and hardly sends.

The server puts no bound on the time of a body (granian, issue 728), and a thread that waits for one cannot
be interrupted. But the connections are this process's own: while some call waits too long for its body,
those are shut on which nothing has come for as long, or a request has been coming at a trickle. The thread
then reads the end of the body. Linux tells the figures of each connection (struct tcp_info of linux/tcp.h);
on other systems nobody is cut off.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from services.coverage_api.logs import SENDERS_CUT_OFF

LOOK_SECONDS = 1.0

#: Less than this in a second is a trickle.
BYTES_A_SECOND_MIN = 1024

#: Looking ends when no read has taken this long any more.
CALM_SECONDS = 1.0

#: Of struct tcp_info: milliseconds since data was last sent, and received; bytes acknowledged by the other
#: side, and received from it, of the whole connection.
_INFO_BYTES = 136
#: More than any kernel's struct has today; newer ones only add at its end.
_INFO_BYTES_MAX = 256
_LAST = struct.Struct("=44xI4xI")
_TOTALS = struct.Struct("=120xQQ")

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trickle:
    """A request that had not been answered at `since`, when so much had been received."""

    acknowledged: int
    received: int
    since: float


class SlowSenders:
    """Watches the server's connections while calls wait for their bodies, in a thread of its own."""

    def __init__(self, *, seconds_max: float, monotonic: Callable[[], float]) -> None:
        """Cut off who hardly sends for `seconds_max`; `monotonic` is a clock that never goes back."""
        self._seconds_max = seconds_max
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def look(self, port: int, longest_seconds: Callable[[], float]) -> None:
        """Watch the connections to this port until no call waits long any more, as `longest_seconds` says."""
        if sys.platform != "linux":
            return
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(
                    target=self._watch, args=(port, longest_seconds), name="slow-senders", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self, port: int, longest_seconds: Callable[[], float]) -> None:
        known: dict[int, Trickle] = {}
        try:
            while not self._closed.wait(min(LOOK_SECONDS, self._seconds_max / 4)):
                longest = longest_seconds()
                known, slow = self._sort_out(port, known, may_cut=longest >= self._seconds_max)
                if slow:
                    _log.warning(SENDERS_CUT_OFF, connections=slow)
                if longest < CALM_SECONDS:
                    break
        finally:
            # However this watch ended, the next suspicion begins another.
            with self._lock:
                self._thread = None

    def _sort_out(
        self, port: int, known: dict[int, Trickle], *, may_cut: bool
    ) -> tuple[dict[int, Trickle], int]:
        """What is known now of unanswered requests, and how many connections were shut."""
        now = self._monotonic()
        found: dict[int, Trickle] = {}
        cut = 0
        for inode, connection in connections_to(port):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES_MAX)
            if len(info) < _INFO_BYTES:
                continue
            sent_ago, received_ago = _LAST.unpack_from(info)
            acknowledged, received = _TOTALS.unpack_from(info)
            trickle = Trickle(acknowledged=acknowledged, received=received, since=now)
            waits = received > 0 and (not acknowledged or received_ago < sent_ago)
            before = known.get(inode)
            if waits and before is not None and before.acknowledged == acknowledged:
                trickle = before
            stalls = received_ago >= self._seconds_max * 1000
            is_slow = stalls or (waits and self._trickles(trickle, received, now))
            if is_slow and may_cut:
                cut += 1
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            elif waits:
                found[inode] = trickle
        return found, cut

    def _trickles(self, trickle: Trickle, received: int, now: float) -> bool:
        seconds = now - trickle.since
        return seconds >= self._seconds_max and received - trickle.received < BYTES_A_SECOND_MIN * seconds


def connections_to(port: int) -> Iterator[tuple[int, socket.socket]]:
    """This process's connections that were made to its port, each by its inode, open until the next."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            # A descriptor of our own: the server may close its own at any moment.
            descriptor = os.dup(int(entry.name))
            status = os.fstat(descriptor)
            if not stat.S_ISSOCK(status.st_mode):
                os.close(descriptor)
                continue
            with socket.socket(fileno=descriptor) as found:
                if _is_connection_to(found, port):
                    yield status.st_ino, found


def _is_connection_to(found: socket.socket, port: int) -> bool:
    return (
        found.family in {socket.AF_INET, socket.AF_INET6}
        and found.type == socket.SOCK_STREAM
        and not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        and found.getsockname()[1] == port
    )
