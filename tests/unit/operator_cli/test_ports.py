"""Which loopback ports the runner takes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from services.operator_cli.runner.ports import EMBEDDED_PORTS, LOOPBACK, choose, is_free


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port on which something listens."""
    with socket.create_server((LOOPBACK, choose(None))) as server:
        yield server.getsockname()[1]


def test_port_with_a_listener_is_not_free(busy_port: int) -> None:
    """A port counts as taken while something listens on it."""
    assert not is_free(busy_port)


def test_preferred_port_is_kept_while_it_is_free() -> None:
    """A server comes back on the port it had."""
    port = choose(None)
    assert choose(port) == port


def test_preferred_port_is_given_up_when_taken(busy_port: int) -> None:
    """A port that something else took meanwhile, or that another server got, is replaced."""
    other = choose(busy_port)
    assert other != busy_port
    assert choose(other, taken=[other]) != other


def test_chosen_port_is_none_that_outgoing_connections_use() -> None:
    """A server's port cannot be taken by a passing connection while the server restarts."""
    assert choose(None) in EMBEDDED_PORTS
    assert EMBEDDED_PORTS.stop <= 32_768
