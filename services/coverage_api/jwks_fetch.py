"""Fetches a client's JWK Set from an address that the operator allows, and from nowhere else."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError

from shared.adapters.jwks import DOCUMENT_BYTES_MAX
from shared.adapters.jwks_urls import url_is_allowed
from shared.domain.errors import NeedlecapError

HTTPS_PORT = 443
READ_BYTES = 8 * 1024

#: For each answer of the other side, and for the whole fetch.
ANSWER_SECONDS = 3.0
FETCH_SECONDS = 5.0


class JwksUnavailable(NeedlecapError):
    """A client's public keys could not be fetched."""


class JwksFetcher:
    """Fetches JWK Sets over https: no redirects, no proxies, bounded in size and time."""

    def __init__(
        self,
        allowed: Sequence[str],
        *,
        private_allowed: bool = False,
        ca_file: Path | None = None,
        fetch_seconds: float = FETCH_SECONDS,
    ) -> None:
        """Fetch from `allowed` addresses alone, as `url_is_allowed` reads them.

        Hosts that are not on the public internet only if `private_allowed`. Certificates are checked
        against `ca_file`, or what the machine trusts.
        """
        self._allowed = tuple(allowed)
        self._private_allowed = private_allowed
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._fetch_seconds = fetch_seconds

    def fetch(self, url: str) -> str:
        """The document at an address. Raises JwksUnavailable, whatever the reason."""
        if not url_is_allowed(url, self._allowed):
            raise JwksUnavailable("The address of the client's keys is not on the list of allowed ones.")
        parts = urlsplit(url)
        try:
            address = self._address_of(parts.hostname or "", parts.port or HTTPS_PORT)
            return self._read(address, parts.hostname or "", parts.port or HTTPS_PORT, url)
        except (OSError, HTTPError, http.client.HTTPException, ValueError) as error:
            raise JwksUnavailable("The client's keys could not be fetched.") from error

    def _address_of(self, host: str, port: int) -> str:
        """The address that is then connected to, so that a name cannot mean another one by then."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        if not addresses or not (self._private_allowed or all(map(_is_public, addresses))):
            raise JwksUnavailable("The address of the client's keys is not on the public internet.")
        return str(addresses[0])

    def _read(self, address: str, host: str, port: int, url: str) -> str:
        connection = HTTPSConnection(
            address, port, timeout=ANSWER_SECONDS, ssl_context=self._tls, server_hostname=host
        )
        # Time-outs of a socket begin anew with every byte; this one does not. The connection lets go of its
        # socket before the answer is read.
        held: list[object] = []
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            _shut([*held, connection.sock])

        deadline = threading.Timer(self._fetch_seconds, end)
        deadline.daemon = True
        deadline.start()
        try:
            connection.connect()
            held.append(connection.sock)
            headers = {
                "Host": urlsplit(url).netloc,
                "Accept": "application/jwk-set+json, application/json",
                "Accept-Encoding": "identity",
                "Connection": "close",
            }
            connection.request("GET", urlsplit(url).path, headers=headers, preload_content=False)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise JwksUnavailable("The address of the client's keys answers with something else.")
            document = b""
            while chunk := response.read1(READ_BYTES, decode_content=False):
                document += chunk
                if len(document) > DOCUMENT_BYTES_MAX:
                    raise JwksUnavailable("The client's keys are too large.")
            if is_over.is_set():
                raise JwksUnavailable("The client's keys took too long to come.")
            return document.decode("utf-8")
        finally:
            deadline.cancel()
            connection.close()


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None)
    return (inner or address).is_global and not address.is_multicast


def _shut(sockets: Sequence[object]) -> None:
    """End a connection under whoever reads from it."""
    for held in sockets:
        if isinstance(held, socket.socket):
            with contextlib.suppress(OSError):
                # Not the TLS layer's own shutdown, which is not made to be called from another thread.
                socket.socket.shutdown(held, socket.SHUT_RDWR)
