"""A bounded HTTP/1.1 load generator: keep-alive connections, one request in flight on each.

Run as a process of its own, so that its work is not the server's:
`python load_client.py < job.json > result.json`. It parses no more of an answer than its status and
length, so that it costs less than the cheapest server it is pointed at; the share of its core that it
used is in the result, and a result with a share near one says more of the client than of the server.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

READ_BYTES = 256 * 1024
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
#: A connection on which nothing came for this long is a failure of the run.
SILENT_SECONDS_MAX = 15.0


class LoadFailed(Exception):
    """The server closed a connection, broke the protocol or fell silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send. `bodies` are taken in turn, over again if `repeat`, for at most `seconds`.

    `per_second` paces the requests evenly (an open loop over free connections); None sends as fast as
    answers come.
    """

    host: str
    port: int
    path: str
    headers: dict[str, str]
    bodies: list[str]
    connections: int
    seconds: float
    repeat: bool = True
    per_second: int | None = None
    stamps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came back: the latencies' 99th percentile in microseconds, and the share of one core sending took.

    `answered_at_ns`, if stamps were asked for, holds each request's time of answer on the machine's
    monotonic clock, in the order of the bodies.
    """

    answered: int
    seconds: float
    statuses: dict[str, int]
    p99_us: int
    client_core_share_percent: int
    first_answer: str
    answered_at_ns: list[int]


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    sent_at_ns: int = 0
    turn: int = 0
    rest: bytes = b""


def run(job: Job) -> Result:
    """Send the job's requests. Raises LoadFailed."""
    requests = [_request(job, body.encode()) for body in job.bodies]
    connections = {c.socket.fileno(): c for c in (_connect(job) for _ in range(job.connections))}
    try:
        return _drive(job, requests, connections)
    finally:
        for connection in connections.values():
            connection.socket.close()


def _request(job: Job, body: bytes) -> bytes:
    headers = {"Host": f"{job.host}:{job.port}", **job.headers, "Content-Length": str(len(body))}
    method = "POST" if body else "GET"
    lines = [f"{method} {job.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + HEAD_END + body


def _connect(job: Job) -> _Connection:
    made = socket.create_connection((job.host, job.port), timeout=SILENT_SECONDS_MAX)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setblocking(False)
    return _Connection(made)


def _drive(job: Job, requests: Sequence[bytes], connections: dict[int, _Connection]) -> Result:
    poll = select.epoll()
    for number in connections:
        poll.register(number, select.EPOLLIN)
    latencies, statuses, first = array("q"), Counter[bytes](), b""
    stamps: dict[int, int] = {}
    free, turn, count = list(connections.values()), 0, len(requests)
    cpu_began, began = time.process_time_ns(), time.perf_counter_ns()
    ends = began + int(job.seconds * 1e9)
    gap = 1_000_000_000 // job.per_second if job.per_second else 0
    while True:
        now = time.perf_counter_ns()
        over = now >= ends or (not job.repeat and turn >= count)
        if over and len(free) == len(connections):
            break
        while free and not over and now >= began + turn * gap:
            connection = free.pop()
            # In an open loop a request's time begins when it was due, not when there was room for it.
            connection.sent_at_ns = began + turn * gap if gap else time.perf_counter_ns()
            connection.turn = turn
            _send(connection, requests[turn % count])
            turn += 1
            over = not job.repeat and turn >= count
        wait = SILENT_SECONDS_MAX
        if free and not over:
            wait = max(0.0, (began + turn * gap - time.perf_counter_ns()) / 1e9)
        ready = poll.poll(wait)
        if not ready and wait == SILENT_SECONDS_MAX:
            raise LoadFailed(f"nothing came for {SILENT_SECONDS_MAX:.0f} seconds")
        for number, _ in ready:
            connection = connections[number]
            answer = _receive(connection)
            if answer is None:
                continue
            now = time.perf_counter_ns()
            latencies.append(now - connection.sent_at_ns)
            if job.stamps:
                stamps[connection.turn] = time.monotonic_ns()
            statuses[answer[9:12]] += 1
            first = first or answer
            free.append(connection)
    ended = time.perf_counter_ns()
    poll.close()
    share = (time.process_time_ns() - cpu_began) * 100 // (ended - began)
    result = _result(latencies, statuses, (ended - began) / 1e9, share, first)
    return replace(result, answered_at_ns=[stamps[place] for place in sorted(stamps)])


def _send(connection: _Connection, request: bytes) -> None:
    sent = connection.socket.send(request)
    if sent != len(request):
        raise LoadFailed("a request did not fit the socket's buffer")


def _receive(connection: _Connection) -> bytes | None:
    """The whole answer, or None while a part of it is missing."""
    data = connection.socket.recv(READ_BYTES)
    if not data:
        raise LoadFailed("the server closed a connection")
    data = connection.rest + data if connection.rest else data
    head = data.find(HEAD_END)
    if head >= 0:
        # A status line and headers of ASCII; the server writes header names in whatever case.
        lowered = data[:head].lower()
        place = lowered.find(LENGTH)
        if place < 0:
            raise LoadFailed("an answer without a length")
        line_end = lowered.find(b"\r\n", place)
        length = int(lowered[place + len(LENGTH) : line_end if line_end >= 0 else head])
        if len(data) >= head + len(HEAD_END) + length:
            connection.rest = b""
            return data
    connection.rest = data
    return None


def _result(
    latencies: array[int], statuses: Counter[bytes], seconds: float, share: int, first: bytes
) -> Result:
    ordered = sorted(latencies)
    if not ordered:
        raise LoadFailed("no answer came")
    return Result(
        answered=len(ordered),
        seconds=seconds,
        statuses={code.decode(): times for code, times in statuses.items()},
        p99_us=ordered[len(ordered) * 99 // 100] // 1000,
        client_core_share_percent=share,
        first_answer=first.decode(errors="replace"),
        answered_at_ns=[],
    )


def main() -> None:
    """Read a job from standard input, write its result to standard output."""
    job: dict[str, Any] = json.load(sys.stdin)
    json.dump(asdict(run(Job(**job))), sys.stdout)


if __name__ == "__main__":
    main()
