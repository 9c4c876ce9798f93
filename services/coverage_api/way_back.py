"""How a call is answered: by what the application returns, or later, from any thread.

A WSGI application answers by returning. A server that puts a `WayBack` into each call's environment takes an
answer later, too (`granian_later.py`); under any other, calls wait in their threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

#: Where the server puts a call's way back.
WAY_BACK_VARIABLE = "needlecap.way_back"


class Server(Protocol):
    """What a server offers for answering a call; the first answer counts."""

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer with a whole body."""

    def response_iter(self, status: int, headers: Sequence[tuple[str, str]], body: Any) -> None:
        """Answer with the pieces of a body, as they come."""


class WayBack:
    """A call's way back to its caller: what the application returns or, once it `is_kept`, `answer`."""

    __slots__ = ("_once_answered", "_server", "is_kept")

    def __init__(self, server: Server) -> None:
        """Answer by way of `server`."""
        self._server = server
        self._once_answered: Callable[[], None] | None = None
        self.is_kept = False

    def once_answered(self, act: Callable[[], None]) -> None:
        """Have something done when a call that was kept is answered."""
        self._once_answered = act

    def keep(self) -> None:
        """Answer this call later: what the application returns is for nobody."""
        self.is_kept = True

    def answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Answer a call that was kept. Raises what the server raises."""
        assert self.is_kept, "a call is answered by what the application returns, unless it was kept"
        try:
            self._server.response_bytes(status, headers, body)
        finally:
            if self._once_answered is not None:
                self._once_answered()

    def response_bytes(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """What the application returned, unless the call was kept."""
        if not self.is_kept:
            self._server.response_bytes(status, headers, body)

    def response_iter(self, status: int, headers: Sequence[tuple[str, str]], body: Any) -> None:
        """The same in pieces."""
        if not self.is_kept:
            self._server.response_iter(status, headers, body)


def way_back_of(environ: Mapping[str, Any]) -> WayBack | None:
    """How to answer a call later; None where its server has no such way."""
    found: WayBack | None = environ.get(WAY_BACK_VARIABLE)
    return found
