"""A proxy before PostgreSQL that loses a COMMIT, or the answer to it, or cuts a statement in half.

It reads as much of the protocol as that takes: to begin and to commit are simple queries of their own, or
prepared statements of these names, in plain text either way.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tests.proxy import Proxy

#: `lose_commit`: the connection is reset before COMMIT arrives. `drop_reply`: COMMIT is carried out, then
#: the connection is reset instead of the answer. `mute_commit`: COMMIT never arrives, and `mute_reply`:
#: its answer never does, on a connection that stays open. `cut_statement`: it is reset with half of a
#: statement on its way.
Fault = Literal["lose_commit", "drop_reply", "mute_commit", "mute_reply", "cut_statement"]

_BEGIN, _COMMIT, _ROLLBACK = b"begin", b"commit\x00", b"rollback\x00"
#: A transaction that sees no payer is book-keeping beside the calls, such as when a key was last used.
_BESIDE = b"'needlecap.payers', ''"
#: The statement of a transaction that is cut in half, counted from its BEGIN: the one that says whose
#: payers it sees comes with that.
_CUT_AT = 1
_READ_BYTES = 65_536


@dataclass(slots=True)
class _Talk:
    """What one client says on its connection."""

    beside: bool = False
    in_transaction: bool = False
    statements: int = 0
    doom: Fault | None = None


class PostgresProxy(Proxy):
    """Stands before the server of a database URL, and does what it is armed for, so many times."""

    def __init__(self, url: str) -> None:
        """Pass everything on until it is armed."""
        self._place = urlsplit(url)
        assert self._place.hostname is not None
        assert self._place.port is not None
        super().__init__(self._place.hostname, self._place.port)
        self._armed_for: Fault | None = None
        self._left = 0
        #: How often it did what it was armed for.
        self.struck = 0
        self._talks: dict[socket.socket, _Talk] = {}
        self._arming = threading.Lock()

    @property
    def url(self) -> str:
        """The database as it is reached through here."""
        credentials = self._place.netloc.rpartition("@")[0]
        return self._place._replace(netloc=f"{credentials}@127.0.0.1:{self.port}").geturl()

    def arm(self, fault: Fault, times: int = 1) -> None:
        """Do this to the next so many transactions that come to it."""
        with self._arming:
            self._armed_for, self._left, self.struck = fault, times, 0

    def disarm(self) -> None:
        """Pass on what comes from now on."""
        with self._arming:
            self._left = 0

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:  # noqa: FBT001
        client, server = (sink, source) if answers else (source, sink)
        with self._arming:
            talk = self._talks.setdefault(client, _Talk())
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                if answers:
                    if talk.doom == "drop_reply":
                        break
                    if talk.doom is None:
                        sink.sendall(data)
                    continue
                self._listen(talk, data)
                if talk.doom == "lose_commit":
                    break
                if talk.doom == "cut_statement":
                    sink.sendall(data[: len(data) // 2])
                    break
                if talk.doom != "mute_commit":
                    sink.sendall(data)
        _reset(client, server)

    def _listen(self, talk: _Talk, data: bytes) -> None:
        """Take note of what a client says, and decide what is to become of it."""
        data = data.lower()
        if not talk.in_transaction and _BEGIN in data:
            talk.in_transaction, talk.statements, talk.beside = True, 0, _BESIDE in data
        elif talk.in_transaction:
            talk.statements += 1
        commits = _COMMIT in data and not talk.beside
        cuts = talk.in_transaction and talk.statements == _CUT_AT and not talk.beside
        if _COMMIT in data or _ROLLBACK in data:
            talk.in_transaction = False
        with self._arming:
            due = cuts and _COMMIT not in data if self._armed_for == "cut_statement" else commits
            if self._left and due:
                self._left -= 1
                self.struck += 1
                talk.doom = self._armed_for


def _reset(client: socket.socket, server: socket.socket) -> None:
    """End both sides; the client gets a reset, and no orderly end."""
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Wakes whoever reads from it, and tells the other side nothing.
        client.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)
    client.close()
    server.close()
