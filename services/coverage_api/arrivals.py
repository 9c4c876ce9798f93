"""Calls at work and calls still arriving: a sender that takes its time keeps nobody else waiting.

A WSGI server's thread waits for a body within `read`, which nothing can interrupt. So there are many more
threads than calls are worked on at once: a call gives its place up while it waits for its body. One client
can have only so many bodies on their way, and whoever hardly sends is cut off (`slow_senders.py`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any

from services.coverage_api.errors import TooBusy
from services.coverage_api.way_back import way_back_of

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

#: Where the dispatcher says of a call who sends it.
CLIENT_VARIABLE = "needlecap.client_id"

RETRY_SECONDS = 1

#: A read that takes longer makes whoever watches for slow senders look.
SUSPICIOUS_SECONDS = 1.0


class Arrivals:
    """Lets so many calls be worked on at once, and so many bodies of one client be on their way."""

    def __init__(
        self,
        app: WsgiApp,
        *,
        working_max: int,
        arriving_max: int,
        arrived: Callable[[float], None],
        suspicious: Callable[[int, Callable[[], float]], None],
        monotonic: Callable[[], float],
    ) -> None:
        """Serve `app`. `arrived` is told of the seconds that each read took, in the call's thread.

        `suspicious` is told, when a read begins while another has been taking long, the server's port and
        how to ask for the time of the longest read.
        """
        self._app = app
        # What is in it are places: as a semaphore, but without one line of Python for each use.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(working_max):
            self._places.put(None)
        self._arriving_max = arriving_max
        self._arrived = arrived
        self._suspicious = suspicious
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._by_client: Counter[str] = Counter()
        self._began: dict[int, float] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one call. One that is answered later keeps its place until then."""
        body = environ["wsgi.input"]
        environ["wsgi.input"] = _ArrivingBody(body, environ, self)
        way_back = way_back_of(environ)
        if way_back is not None:
            way_back.once_answered(self._leave)
        self._places.get()
        try:
            return self._app(environ, start_response)
        finally:
            if way_back is None or not way_back.is_kept:
                self._leave()
            # Body and environment would hold each other, with all that is known of the call, until the
            # collector comes.
            environ["wsgi.input"] = body

    def _leave(self) -> None:
        """Give a call's place to the next."""
        self._places.put(None)

    def longest_seconds(self) -> float:
        """How long the longest of the reads takes that are under way."""
        began = min(list(self._began.values()), default=None)
        return 0.0 if began is None else self._monotonic() - began

    def read(self, environ: dict[str, Any], read: Callable[[], bytes]) -> bytes:
        """What `read` brings, with the call's place given to others meanwhile.

        Raises TooBusy when as many bodies of the client are on their way as may be.
        """
        client_id = str(environ.get(CLIENT_VARIABLE, ""))
        thread = threading.get_ident()
        began = self._monotonic()
        with self._lock:
            longest = next(iter(self._began.values()), began)
            # Asked so, since a Counter makes a call of its own for whoever is not in it.
            arriving = self._by_client.get(client_id, 0)
            is_refused = bool(client_id) and arriving >= self._arriving_max
            if not is_refused:
                self._by_client[client_id] = arriving + 1
                self._began[thread] = began
        if began - longest > SUSPICIOUS_SECONDS:
            self._suspicious(int(environ["SERVER_PORT"]), self.longest_seconds)
        if is_refused:
            raise TooBusy(RETRY_SECONDS)
        self._places.put(None)
        try:
            return read()
        finally:
            with self._lock:
                del self._began[thread]
                self._by_client[client_id] -= 1
                if not self._by_client[client_id]:
                    del self._by_client[client_id]
            self._places.get()
            self._arrived(self._monotonic() - began)


class _ArrivingBody:
    """A call's body. Its reads wait outside of the places for calls at work."""

    def __init__(self, body: Any, environ: dict[str, Any], arrivals: Arrivals) -> None:
        self._body = body
        self._environ = environ
        self._arrivals = arrivals

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, or all; none at the end."""
        return self._arrivals.read(
            self._environ, lambda: self._body.read() if size < 0 else self._body.read(size)
        )

    def readline(self, _size: int = -1, /) -> bytes:
        """A line."""
        return self._arrivals.read(self._environ, self._body.readline)

    def __iter__(self) -> Iterator[bytes]:
        """The lines."""
        while line := self.readline():
            yield line
