"""Faults on demand: a process that ends amid a transaction, counters that come late or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.counters import RedisCounters
from shared.domain.errors import CountersUnavailable
from shared.domain.records import CounterImage, MemberRef
from shared.ports import Clock, Sent, nobody_waits

#: So many images are remembered to be written late.
IMAGES_MAX = 40


class Crash(BaseException):
    """The process ends here. No `Exception`, since nothing in a process may go on after it."""


class CrashingStore:
    """The database, at whose calls the process can be made to end; its clock is the test's."""

    def __init__(self, database: PostgresDatabase, clock: Clock) -> None:
        """Crash at nothing yet."""
        self._database = database
        self._clock = clock
        self._calls_left: int | None = None

    def crash_at_call(self, number: int) -> None:
        """End the process at the so-manyth call from now on (0: the next), before or after a commit too."""
        self._calls_left = number

    def calm(self) -> None:
        """Crash at nothing any more."""
        self._calls_left = None

    @contextlib.contextmanager
    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None, ahead: Any = None
    ) -> Iterator[Any]:
        """A transaction of the database, watched."""
        with self._database.transaction(payers, seconds=seconds, ahead=ahead) as tx:
            yield _Watched(tx, self._step, self._clock)

    def _step(self) -> None:
        if self._calls_left is None:
            return
        if self._calls_left == 0:
            self._calls_left = None
            raise Crash
        self._calls_left -= 1


class _Watched:
    """A transaction that counts the calls of its repositories, and two for its commit."""

    def __init__(self, tx: Any, step: Callable[[], None], clock: Clock) -> None:
        self._tx = tx
        self._step = step
        self._clock = clock
        self.payers = tx.payers

    def commit(self, sent: Sent = nobody_waits) -> None:
        """Commit, with a chance to crash just before and just after."""
        self._step()
        self._tx.commit(sent)
        self._step()

    def __getattr__(self, name: str) -> _WatchedRepository:
        return _WatchedRepository(getattr(self._tx, name), self._step, self._clock)


class _WatchedRepository:
    """A repository each of whose calls is counted before it is made."""

    def __init__(self, repository: Any, step: Callable[[], None], clock: Clock) -> None:
        self._repository = repository
        self._step = step
        self._clock = clock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # What is due by the database's clock is due by the test's.
        call = self._clock if name == "now" else getattr(self._repository, name)

        def counted(*given: Any, **named: Any) -> Any:
            self._step()
            return call(*given, **named)

        return counted


class FaultyCounters:
    """The counters in Redis, which can be away, and remember what was written, to write it again late."""

    def __init__(self, counters: RedisCounters) -> None:
        """They are there, and nothing was written yet."""
        self._counters = counters
        self.away = False
        self.written: list[CounterImage] = []

    def project(self, images: Sequence[CounterImage]) -> None:
        """Write each image unless a newer one is there."""
        self.written = [*self.written, *images][-IMAGES_MAX:]
        self._refuse_if_away()
        self._counters.project(images)

    def read(self, refs: Sequence[MemberRef]) -> Mapping[MemberRef, CounterImage]:
        """The images that are there."""
        self._refuse_if_away()
        return self._counters.read(refs)

    def forget(self, refs: Sequence[MemberRef]) -> None:
        """Delete these members' counters."""
        self._refuse_if_away()
        self._counters.forget(refs)

    def write_late(self, image: CounterImage) -> None:
        """Have a stalled writer come to its end: it writes what it began with, whatever has been since."""
        self._counters.project([image])

    def _refuse_if_away(self) -> None:
        if self.away:
            raise CountersUnavailable
