"""Calls at work and bodies on their way: who waits for whom."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.coverage_api.arrivals import CLIENT_VARIABLE, Arrivals
from services.coverage_api.errors import TooBusy


class SlowBody(io.BytesIO):
    """A body that comes when it is let."""

    def __init__(self) -> None:
        super().__init__(b"{}")
        self.comes = threading.Event()
        self.is_asked = threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        """The body, once it has come."""
        self.is_asked.set()
        assert self.comes.wait(30)
        return super().read(size)


def reading(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
    """An application that reads the body of each call and answers with it."""
    return [environ["wsgi.input"].read(100)]


def arrivals(app: Callable[..., Iterable[bytes]] = reading, **changes: Any) -> Arrivals:
    """Arrivals with one place for calls at work, unless told otherwise."""
    given: dict[str, Any] = {
        "working_max": 1,
        "arriving_max": 2,
        "arrived": lambda _seconds: None,
        "suspicious": lambda _port, _longest: None,
        "monotonic": time.monotonic,
    }
    return Arrivals(app, **(given | changes))


def call(served: Arrivals, body: io.BytesIO, client_id: str = "c") -> bytes:
    """One call with this body."""
    environ = {"wsgi.input": body, CLIENT_VARIABLE: client_id, "SERVER_PORT": "1"}
    return b"".join(served(environ, None))


def test_call_that_waits_for_its_body_gives_its_place_to_others() -> None:
    """With one place, a call whose body is there is answered beside one whose body is not."""
    served = arrivals()
    slow = SlowBody()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, served, slow)
        assert slow.is_asked.wait(30)
        assert call(served, io.BytesIO(b"[]")) == b"[]"
        slow.comes.set()
        assert first.result(30) == b"{}"
    assert served.longest_seconds() == 0.0


def test_no_more_calls_are_worked_on_than_may_be() -> None:
    """However many come at once."""
    lock = threading.Lock()
    working: list[int] = [0, 0]

    def app(environ: dict[str, Any], _start: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read(100)
        with lock:
            working[0] += 1
            working[1] = max(working)
        threading.Event().wait(0.01)
        with lock:
            working[0] -= 1
        return [b""]

    served = arrivals(app, working_max=3, arriving_max=50)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: call(served, io.BytesIO(b"")), range(48)))
    assert working[1] <= 3


def test_client_has_only_so_many_bodies_on_their_way() -> None:
    """The next of its bodies is not waited for; another client's is, and its own again when one has come."""
    served = arrivals()
    slow = [SlowBody(), SlowBody()]
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(call, served, body) for body in slow]
        for body in slow:
            assert body.is_asked.wait(30)
        with pytest.raises(TooBusy):
            call(served, io.BytesIO(b"[]"))
        assert call(served, io.BytesIO(b"[]"), "another") == b"[]"
        for body in slow:
            body.comes.set()
        assert [future.result(30) for future in waiting] == [b"{}"] * 2
    assert call(served, io.BytesIO(b"[]")) == b"[]"


def test_time_of_waiting_is_given_back_and_long_waits_are_noticed() -> None:
    """Whoever counts a call's time learns what its body took; a read beside a long one raises suspicion."""
    seconds: list[float] = []
    noticed: list[tuple[int, float]] = []
    now = [100.0]
    served = arrivals(
        arrived=seconds.append,
        suspicious=lambda port, longest: noticed.append((port, longest())),
        monotonic=lambda: now[0],
    )
    slow = SlowBody()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, served, slow)
        assert slow.is_asked.wait(30)
        call(served, io.BytesIO(b"[]"))
        now[0] += 5.0
        call(served, io.BytesIO(b"[]"))
        slow.comes.set()
        first.result(30)
    assert noticed == [(1, 5.0)]
    assert seconds == [0.0, 0.0, 5.0]
