"""Transactions on a Postgres that comes and goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg
import pytest

from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from tests.builders import PAYER
from tests.servers import Postgres
from tests.waiting import wait_for


def version(database: PostgresDatabase) -> int:
    """The number of the running catalog, whatever it is."""
    with database.transaction(EVERY_PAYER) as tx:
        return tx.catalog.version()


@contextlib.contextmanager
def suspended(postgres: Postgres) -> Iterator[None]:
    """The server with all its processes stands still, and goes on afterwards."""
    assert postgres.server.pid is not None
    server = psutil.Process(postgres.server.pid)
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            process.resume()


def test_restarted_postgres_costs_no_call(own_postgres: Postgres) -> None:
    """Connections that died with the server are passed over, so the first call after it succeeds."""
    with own_postgres.database("restarted") as url:
        database = PostgresDatabase(url, connections_max=4)
        with contextlib.ExitStack() as held:
            for _ in range(4):
                held.enter_context(database.transaction(EVERY_PAYER))
        own_postgres.server.stop()
        own_postgres.server.start()
        wait_for(lambda: _connects(url))
        assert version(database) == 0
        database.close()


def test_server_that_was_away_for_long_is_found_as_soon_as_it_is_back(own_postgres: Postgres) -> None:
    """The longer it was away, the longer would a pool pause by itself before it looks again."""
    with own_postgres.database("away") as url:
        database = PostgresDatabase(url, connections_max=2, wait_seconds=0.1)
        assert version(database) == 0
        own_postgres.server.stop()
        gone_at = time.monotonic()
        wait_for(lambda: not answers(database) and time.monotonic() - gone_at > 3.2)
        own_postgres.server.start()
        back_at = time.monotonic()
        wait_for(lambda: answers(database))
        assert time.monotonic() - back_at < 1.5
        database.close()


def answers(database: PostgresDatabase) -> bool:
    """Whether a transaction can be had."""
    try:
        return version(database) == 0
    except StoreUnavailable:
        return False


def _connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_stuck_postgres_is_given_up_in_time(own_postgres: Postgres) -> None:
    """A server that does not answer at all fails the transaction at its bound."""
    with own_postgres.database("stuck") as url:
        database = PostgresDatabase(url, connections_max=2, transaction_seconds=1.0)
        assert version(database) == 0
        with suspended(own_postgres):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                version(database)
            assert time.monotonic() - began < 4.5
        wait_for(lambda: answers(database))
        database.close()


def test_leaving_without_commit_takes_everything_back(database_url: str) -> None:
    """A transaction that is not committed leaves nothing, and neither does one that fails."""
    database = PostgresDatabase(database_url, connections_max=2)
    with database.transaction(EVERY_PAYER) as tx:
        tx.catalog.add_payers({PAYER: "Plan"})
    with contextlib.suppress(ZeroDivisionError), database.transaction(EVERY_PAYER) as tx:
        tx.catalog.add_payers({PAYER: "Plan"})
        _ = 1 / 0
    assert _payers(database_url) == []
    with database.transaction(EVERY_PAYER) as tx:
        tx.catalog.add_payers({PAYER: "Plan"})
        tx.commit()
    assert _payers(database_url) == [(PAYER,)]
    database.close()


def test_statements_stay_prepared_after_a_transaction_that_only_read(database_url: str) -> None:
    """Nothing is parsed and planned anew because an earlier transaction had nothing to commit."""
    database = PostgresDatabase(database_url, connections_max=1)
    for _ in range(4):
        version(database)
    with database.transaction(EVERY_PAYER) as tx:
        known = tx.catalog._connection.execute("select statement from pg_prepared_statements").fetchall()
    assert any("catalog" in statement for (statement,) in known)
    database.close()


def test_the_connection_that_was_at_work_last_is_the_next_at_work(database_url: str) -> None:
    """Calls that come one after the other are all served by one connection, whichever others are free."""
    database = PostgresDatabase(database_url, connections_max=3)
    with contextlib.ExitStack() as held:
        together = [backend(held.enter_context(database.transaction(EVERY_PAYER))) for _ in range(3)]
    alone = []
    for _ in range(4):
        with database.transaction(EVERY_PAYER) as tx:
            alone.append(backend(tx))
    assert len(set(together)) == 3
    assert set(alone) < set(together)
    assert len(set(alone)) == 1
    database.close()


def backend(tx: Any) -> int:
    """The server's process that serves a transaction."""
    return int(tx.catalog._connection.info.backend_pid)


def test_what_a_transaction_may_see_ends_with_it(database_url: str) -> None:
    """A connection goes back to the pool seeing nothing, committed or not (I9)."""
    database = PostgresDatabase(database_url, connections_max=1)
    with database.transaction(EVERY_PAYER) as tx:
        tx.catalog.add_payers({PAYER: "Plan"})
        assert tx.known_payers.existing([PAYER]) == {PAYER}
        tx.commit()
        assert tx.known_payers.existing([PAYER]) == set()
    with database.transaction(("another",)) as tx:
        assert tx.known_payers.existing([PAYER]) == set()
    with database.transaction(()) as tx:
        assert tx.known_payers.existing([PAYER]) == set()
    database.close()


def _payers(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute("select payer_id from payer").fetchall()


def test_sessions_of_processes_that_vanished_end_by_themselves(database_url: str) -> None:
    """The server looks whether the client is still there, and bounds how long it may say nothing."""
    database = PostgresDatabase(database_url, connections_max=1)
    with database.transaction(EVERY_PAYER) as tx:
        rows = tx._connection.execute(
            "select name, setting::int from pg_settings where name like 'tcp_keepalives_%' or"
            " name = 'idle_in_transaction_session_timeout'"
        ).fetchall()
    database.close()
    assert dict(rows) == {
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "idle_in_transaction_session_timeout": 120_000,
    }


def test_callers_do_not_queue_behind_a_stuck_postgres(own_postgres: Postgres) -> None:
    """Once one call timed out the others are told at once, and it works again when Postgres does (I13)."""
    with own_postgres.database("queue") as url:
        database = PostgresDatabase(url, connections_max=4, transaction_seconds=1.0)
        assert version(database) == 0
        with suspended(own_postgres):
            began = time.monotonic()
            for _ in range(20):
                assert not answers(database)
            waited = time.monotonic() - began
        assert waited < 10, "twenty calls of a second each would take twenty"
        wait_for(lambda: answers(database))
        database.close()


def test_migration_outdates_no_connection_for_good(database_url: str) -> None:
    """Where a prepared statement would answer with another type than before, it is prepared anew."""
    database = PostgresDatabase(database_url, connections_max=1)
    for kind in ("bigint", "integer"):
        for _ in range(4):
            assert _client_is_known(database) is False
            assert database.look(lambda tx: tx.clients.find(["nobody"])) == {}
        with psycopg.connect(database_url) as owner:
            owner.execute(f"alter table client alter requests_per_second type {kind}".encode())
        if kind == "bigint":
            assert database.look(lambda tx: tx.clients.find(["nobody"])) == {}
        else:
            with pytest.raises(StoreUnavailable):
                _client_is_known(database)
        assert _client_is_known(database) is False
    database.close()


def _client_is_known(database: PostgresDatabase) -> bool:
    """Asked in a transaction, as most things are."""
    with database.transaction(EVERY_PAYER) as tx:
        return "nobody" in tx.clients.find(["nobody"])
