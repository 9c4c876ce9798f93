"""A TCP proxy between a client and a server that misbehaves as told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Literal, Self

#: `pass` what comes; take it and pass nothing on (`hold`), as a half-open connection does; close each
#: connection at once (`refuse`).
Manner = Literal["pass", "hold", "refuse"]

_READ_BYTES = 65_536


class Proxy:
    """Listens on a port of its own, as long as its block lasts."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, asks_for_tls: int = 0
    ) -> None:
        """Stand before the server at `host` and `port`, and show clients a certificate if there is one.

        With `asks_for_tls`, clients first ask for TLS in so many bytes, as PostgreSQL's do.
        """
        self._asks_for_tls = asks_for_tls
        self._server = (host, port)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.manner: Manner = "pass"
        #: How long each piece of an answer is kept back.
        self.delay_seconds = 0.0
        self.connections = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Serve within the block."""
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._closed.set()
            self._listener.close()
            self.cut()

    def cut(self) -> None:
        """Close every connection there is."""
        with self._lock:
            ended, self._open = self._open, []
        for connection in ended:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.manner == "refuse":
                client.close()
                continue
            try:
                if self._tls is not None:
                    if self._asks_for_tls:
                        client.recv(self._asks_for_tls, socket.MSG_WAITALL)
                        client.sendall(b"S")
                    client = self._tls.wrap_socket(client, server_side=True)
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open += [client, server]
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                if self.manner == "hold":
                    continue
                if answers and self._closed.wait(self.delay_seconds):
                    return
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
