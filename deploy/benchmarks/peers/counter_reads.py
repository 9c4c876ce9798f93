"""What reading a counter costs alone: `python -m deploy.benchmarks.peers.counter_reads SECONDS`.

The server's URL and the keys come on standard input, a line each. Prints reads per second, and the
percentage of its core that this process used.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from urllib.parse import urlsplit

CONNECTIONS = 32
READ_BYTES = 64 * 1024
SILENT_SECONDS_MAX = 15.0


def main() -> None:
    """Read counters on 32 connections, one command in flight on each."""
    seconds = float(sys.argv[1])
    url, *keys = sys.stdin.read().split("\n")
    commands = [b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()) for key in keys]
    connections = [_connect(url) for _ in range(CONNECTIONS)]
    by_number = {connection.fileno(): connection for connection in connections}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    began, cpu_began, turn = time.perf_counter(), time.process_time(), 0
    for connection in connections:
        connection.send(commands[turn % len(commands)])
        turn += 1
    reads = 0
    while time.perf_counter() < began + seconds:
        for number, _ in poll.poll(SILENT_SECONDS_MAX):
            connection = by_number[number]
            # A counter is some hundred bytes: it comes in one piece, with its length before it.
            assert connection.recv(READ_BYTES).startswith(b"$"), "a counter is a string"
            reads += 1
            connection.send(commands[turn % len(commands)])
            turn += 1
    took = time.perf_counter() - began
    share = (time.process_time() - cpu_began) / took
    sys.stdout.write(f"{reads / took:.1f} {share * 100:.0f}\n")


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for command in (f"AUTH {parts.password}", f"SELECT {parts.path.strip('/')}"):
        connection.sendall(command.encode() + b"\r\n")
        assert connection.recv(READ_BYTES).startswith(b"+OK"), "the server lets us in"
    connection.setblocking(False)
    return connection


if __name__ == "__main__":
    main()
