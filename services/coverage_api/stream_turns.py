"""The parts of one stream, each stored by a thread of its own, in order all the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Self

from shared.domain.errors import StoreUnavailable


class Turn:
    """A part's place behind the part before it.

    Its rows are written once those of the part before are, which gives its events the later arrivals, and
    while that part is still being made durable. It is committed only once that part was. Whoever stores
    a part does so within `with turn:`, which always ends: none waits for a part behind it. A part takes a
    connection to the database once the part before the one before it is durable, or failed.
    """

    def __init__(self, visits: Iterable[str], before: Turn | None) -> None:
        """The turn of a part with events of visits of these ids."""
        self.visits = frozenset(visits)
        self.before = before
        self._two_before = before.before if before is not None else None
        self.is_written = False
        self.is_over = threading.Event()
        self.is_durable = False
        self._lock = threading.Lock()
        self._next: Callable[[], None] | None = None

    def await_connection(self) -> None:
        """Wait until this part may take a connection: a stream has two, however many parts were read."""
        two_before = self._two_before
        if two_before is not None:
            two_before.is_over.wait()

    def begin_writing(self, begin: Callable[[], None]) -> None:
        """Have `begin` done once this part's rows may be written, and wait for it. Raises what it raises.

        It is done by the thread that finds out first, mostly that of the part before: until this one has the
        interpreter, Postgres would have nothing to do. Where an event is stored depends on the events of its
        visit that can be seen. So if the part before has events of visits of the same ids, that is when it is
        durable. Behind a part that failed nothing is begun: raises StoreUnavailable.
        """
        before = self.before
        if before is None:
            begin()
        elif self.visits.isdisjoint(before.visits):
            begun: Future[None] = Future()
            before._once_written(lambda: _do(partial(_begin_behind, before, begin), begun))  # noqa: SLF001
            begun.result()
        else:
            before.is_over.wait()
            _begin_behind(before, begin)

    def _once_written(self, act: Callable[[], None]) -> None:
        """Do something now if this part's rows are written, else when they are."""
        with self._lock:
            if not self.is_written:
                self._next = act
                return
        act()

    def rows_are_written(self) -> None:
        """Have the next part begin to write its rows."""
        with self._lock:
            self.is_written = True
            act, self._next = self._next, None
        if act is not None:
            act()

    def await_commit_before(self) -> None:
        """Wait until the part before is durable. Raises StoreUnavailable if it never will be."""
        before = self.before
        if before is not None:
            before.is_over.wait()
            if not before.is_durable:
                raise StoreUnavailable

    def __enter__(self) -> Self:
        """Begin the turn."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End it: the part is durable, or failed."""
        self.is_durable = error is None
        # A stream may have any number of parts, and each would keep all before it.
        self.before = self._two_before = None
        self.is_over.set()
        self.rows_are_written()


def _begin_behind(before: Turn, begin: Callable[[], None]) -> None:
    """Begin, unless the part before failed: then this one can never be committed."""
    if before.is_over.is_set() and not before.is_durable:
        raise StoreUnavailable
    begin()


def _do(act: Callable[[], None], done: Future[None]) -> None:
    """Do something of which another thread is told what came of it."""
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - raised by the thread that it concerns
        done.set_exception(error)
    else:
        done.set_result(None)
