"""The connection pool, and the transaction that a use case owns.

Driver errors are translated here and nowhere else: what means "Postgres cannot answer" becomes
`StoreUnavailable`; constraint violations are recognised by name in the repositories.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import psycopg
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from shared.adapters.postgres.deadline import Watchdog
from shared.adapters.postgres.transaction import PostgresTransaction
from shared.domain.errors import StoreUnavailable

APPLICATION_ROLE = "needlecap_app"

#: Every payer there is, later ones included.
ALL_PAYERS: tuple[str, ...] = ("*",)


class PostgresDatabase:
    """Hands out transactions, each with the payers it may see (row-level security)."""

    def __init__(
        self,
        url: str,
        *,
        connections_max: int,
        wait_seconds: float = 2.0,
        transaction_seconds: float = 4.0,
    ) -> None:
        """Open a pool on `url`.

        A caller waits `wait_seconds` for a connection and then `transaction_seconds` for its whole
        transaction, before it fails with StoreUnavailable.
        """
        self._watchdog = Watchdog()
        self._wait_seconds = wait_seconds
        self._transaction_seconds = transaction_seconds
        self._pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
            url,
            min_size=1,
            max_size=connections_max,
            timeout=wait_seconds,
            reconnect_timeout=10,
            configure=_configure,
            open=False,
            kwargs={"connect_timeout": 2, "row_factory": tuple_row, "prepare_threshold": 2},
        )
        self._pool.open(wait=False)

    @contextlib.contextmanager
    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None
    ) -> Iterator[PostgresTransaction]:
        """One transaction that sees `payers`; rolled back unless it was committed before the block ends.

        Raises StoreUnavailable when Postgres cannot answer within `seconds` (default: the pool's
        bound). After a failed commit it is not known whether it took effect: whoever repeats must
        find what is already there.
        """
        bound = self._transaction_seconds if seconds is None else seconds
        try:
            connection = self._pool.getconn()
        except (PoolTimeout, PoolClosed, TooManyRequests, psycopg.OperationalError) as error:
            raise StoreUnavailable from error
        try:
            with self._watchdog.guard(connection, bound):
                yield from self._within(connection, payers)
        finally:
            self._pool.putconn(connection)

    @staticmethod
    def _within(connection: psycopg.Connection[Any], payers: Sequence[str]) -> Iterator[PostgresTransaction]:
        try:
            connection.execute("select set_config('needlecap.payers', %s, true)", [",".join(payers)])
            yield PostgresTransaction(connection, payers=tuple(payers))
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise StoreUnavailable from error
        finally:
            with contextlib.suppress(psycopg.Error):
                connection.rollback()

    def close(self) -> None:
        """Give up all connections."""
        self._pool.close(timeout=2)


def _configure(connection: psycopg.Connection[Any]) -> None:
    """Work under the application's role, whoever we connected as."""
    connection.execute(f"set role {APPLICATION_ROLE}")
    connection.execute("set statement_timeout = '30s'")
    connection.execute("set timezone = 'UTC'")
    set_json_loads(orjson.loads, context=connection)
    connection.commit()
