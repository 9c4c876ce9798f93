"""The connection pool, and the transaction that a use case owns.

Driver errors are translated here and nowhere else: what means "Postgres cannot answer" becomes
`StoreUnavailable`; constraint violations are recognised by name in the repositories.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import orjson
import psycopg
from psycopg.pq import Escaping, ExecStatus, TransactionStatus
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from shared.adapters.postgres.catalog import RUNNING
from shared.adapters.postgres.circuit import Circuit
from shared.adapters.postgres.clients import finding
from shared.adapters.postgres.deadline import Watchdog
from shared.adapters.postgres.determinations import TextsKept
from shared.adapters.postgres.member_bases import asking_bases
from shared.adapters.postgres.transaction import PostgresTransaction
from shared.adapters.postgres.trips import Connection, Errand, Trips
from shared.domain.errors import StoreUnavailable
from shared.ports import Ahead

T = TypeVar("T")

APPLICATION_ROLE = "needlecap_app"

#: Connections kept open for a burst: making one takes longer than most calls.
CONNECTIONS_KEPT = 8

#: While Postgres does not answer, one call in this time tries whether it does again.
_PROBE_SECONDS = 0.5

#: The pool tries to connect for so long, then again when the next caller comes. Its pauses between
#: attempts grow: left to them, a server that is back would be found up to eight seconds later.
_RECONNECT_SECONDS = 1.0

#: A connection to a server that went away fails within this; a stuck server takes longer.
_STALE_SECONDS_MAX = 0.5


#: How a connection says that a migration changed what one of its prepared statements answers with. It
#: would say so for ever, so it is closed, and the pool makes another.
_OUTDATED = psycopg.errors.FeatureNotSupported

#: How every connection works. Statements are planned once, for values in general: a plan for the values
#: at hand costs more than most statements take. It asks by key even where a table is empty when it is
#: made, since the next minute it may not be. What a process held that vanished with its machine is free
#: after half a minute, instead of the two hours that systems take by themselves; of a frozen one, after two.
_SETTINGS = (
    f"set role {APPLICATION_ROLE}",
    "set statement_timeout = '30s'",
    "set timezone = 'UTC'",
    "set plan_cache_mode = force_generic_plan",
    "set enable_seqscan = off",
    "set jit = off",
    "set idle_in_transaction_session_timeout = '2min'",
    "set tcp_keepalives_idle = 10",
    "set tcp_keepalives_interval = 5",
    "set tcp_keepalives_count = 3",
)


class _LastBackFirst(deque[Connection]):
    """Free connections in the order in which a pool takes them: the one that came back last comes first."""

    def append(self, connection: Connection, /) -> None:
        """Put in one that came back."""
        self.appendleft(connection)


class _Pool(ConnectionPool[Connection]):
    """A pool that hands out the connection that was at work last.

    The library's own take turns, all of them, and behind each is a process that has to get its catalog, its
    plans and its view of the shared memory into the processor's nearer memory anew when its turn comes.
    `_pool` is the library's deque of free connections, which it appends to and takes from the left of, also
    when it closes some that nobody needs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Like the library's."""
        super().__init__(*args, **kwargs)
        self._pool = _LastBackFirst()


class PostgresDatabase:
    """Hands out transactions, each with the payers it may see (row-level security)."""

    def __init__(
        self,
        url: str,
        *,
        connections_max: int,
        connections_kept: int = CONNECTIONS_KEPT,
        wait_seconds: float = 2.0,
        transaction_seconds: float = 4.0,
    ) -> None:
        """Open a pool on `url`.

        At most `connections_max` connections are open, and `connections_kept` of them always; of the free
        ones the last that was at work is taken. A caller waits `wait_seconds` for a connection and then
        `transaction_seconds` for its whole transaction, before it fails with StoreUnavailable.
        """
        self._watchdog = Watchdog()
        self._texts_kept = TextsKept()
        self._circuit = Circuit(_PROBE_SECONDS, time.monotonic)
        self._transaction_seconds = transaction_seconds
        self._pool = _Pool(
            url,
            connection_class=Connection,
            min_size=min(connections_max, connections_kept),
            max_size=connections_max,
            timeout=wait_seconds,
            reconnect_timeout=_RECONNECT_SECONDS,
            configure=_configure,
            open=False,
            kwargs={
                "autocommit": True,  # _begin begins transactions itself
                "connect_timeout": 2,
                "row_factory": tuple_row,
                "prepare_threshold": 2,
            },
        )
        self._pool.open(wait=False)

    @contextlib.contextmanager
    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None, ahead: Ahead | None = None
    ) -> Iterator[PostgresTransaction]:
        """One transaction that sees `payers`; rolled back unless it was committed before the block ends.

        What will be asked in it may be asked `ahead`, with its beginning. Raises StoreUnavailable when
        Postgres cannot answer within `seconds` (default: the pool's bound). After a failed commit it is
        not known whether it took effect: whoever repeats must find what is already there.
        """
        bound = self._transaction_seconds if seconds is None else seconds
        connection, guard, trips = self._begin(bound, partial(_open_transaction, payers, ahead))
        try:
            yield self._opened(connection, trips, payers)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise StoreUnavailable from error
        except _OUTDATED as error:
            connection.close()
            raise StoreUnavailable from error
        finally:
            try:
                _roll_back(connection)
            finally:
                self._give_back(connection, guard)

    def look(self, question: Callable[[PostgresTransaction], T], *, seconds: float | None = None) -> T:
        """What one statement reads that needs no transaction around it. It sees no payer.

        Raises StoreUnavailable, as `transaction` does.
        """
        bound = self._transaction_seconds if seconds is None else seconds
        connection, guard, found = self._begin(bound, lambda c: question(self._opened(c, Trips(c))))
        self._give_back(connection, guard)
        return found

    def _opened(
        self, connection: Connection, trips: Trips, payers: Sequence[str] = ()
    ) -> PostgresTransaction:
        return PostgresTransaction(connection, trips, self._texts_kept, payers=tuple(payers))

    def _begin(self, bound: float, begin: Callable[[Connection], T]) -> tuple[Connection, int, T]:
        """A connection on which `begin` was done, the number of its guard, and what came of it.

        It has to be given back. After a restart of Postgres the pool still holds connections to the one
        that went: each of them says so at once, and the next is tried. One that takes its time to fail is
        not tried again. After a migration it holds some whose statements are outdated: each of those is
        closed. Raises StoreUnavailable when none answers.
        """
        if not self._circuit.admits():
            raise StoreUnavailable
        for left in range(self._pool.max_size, -1, -1):
            connection = self._take()
            guard = self._watchdog.guard(connection, bound)
            began = time.monotonic()
            has_begun = False
            try:
                found = begin(connection)
                has_begun = True
            except _OUTDATED as error:
                connection.close()
                if not left:
                    raise StoreUnavailable from error
                continue
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                slow = time.monotonic() - began > _STALE_SECONDS_MAX
                if slow:
                    self._circuit.timed_out()
                if slow or not left:
                    raise StoreUnavailable from error
                continue
            finally:
                if not has_begun:
                    self._give_back(connection, guard)
            self._circuit.answered()
            return connection, guard, found
        raise StoreUnavailable

    def _give_back(self, connection: Connection, guard: int) -> None:
        self._watchdog.release(guard)
        self._pool.putconn(connection)

    def _take(self) -> Connection:
        try:
            return self._pool.getconn()
        except (PoolTimeout, PoolClosed, TooManyRequests, psycopg.OperationalError) as error:
            raise StoreUnavailable from error

    def close(self) -> None:
        """Give up all connections."""
        self._pool.close(timeout=2)


def _open_transaction(payers: Sequence[str], ahead: Ahead | None, connection: Connection) -> Trips:
    """Begin a transaction and let it see `payers`, in one question. Raises OperationalError."""
    trips = Trips(connection)
    if ahead is not None:
        trips.begin(payers, _errands(ahead))
        return trips
    visible = Escaping(connection.pgconn).escape_literal(",".join(payers).encode())
    result = connection.pgconn.exec_(
        b"begin; select set_config('needlecap.payers', " + bytes(visible) + b", true)"
    )
    if result.status != ExecStatus.TUPLES_OK:
        raise psycopg.OperationalError("no transaction could be begun")
    return trips


def _errands(ahead: Ahead) -> list[Errand]:
    """What the repositories will ask, as they will ask it."""
    errands = [finding(ahead.credentials)] if ahead.credentials else []
    if ahead.members:
        errands += [RUNNING, asking_bases(ahead.members, ahead.days)]
    return errands


def _roll_back(connection: Connection) -> None:
    """Take back what was not committed, if anything is open.

    The driver's own `rollback` also has the server forget every prepared statement of the connection,
    which would have most statements parsed and planned anew: many transactions only read, and end here.
    A connection that is not well is left to the pool, which closes it.
    """
    if connection.pgconn.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
        connection.pgconn.exec_(b"rollback")


def _configure(connection: Connection) -> None:
    """Work under the application's role, whoever we connected as."""
    for statement in _SETTINGS:
        connection.execute(statement)
    set_json_loads(orjson.loads, context=connection)
