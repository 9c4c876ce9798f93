"""Looking at a backlog reads the first of what waits, though nobody has told the planner how much that is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from shared.adapters.postgres.database import _SETTINGS
from shared.adapters.postgres.inbox import PostgresInbox
from shared.adapters.postgres.standing import PostgresStanding
from shared.adapters.postgres.trips import Connection, Trips
from shared.adapters.postgres.worker_jobs import PostgresWorkerJobs
from shared.domain.inbox import ApplyResult
from shared.messages import SHARDS
from tests.builders import PAYER
from tests.clients import add_client

WAITING = 100_000
OF_EACH = 5
ONCE_WAITING = 5_000
#: What was sent, and what of it waits.
TABLES = ("visit_event", "visit_event_waiting")

_SENT = """
with sent as (
    insert into visit_event (payer_id, client_id, event_id, type, visit_id, member_id, shard, payload_digest,
                             received_at)
    select %(payer)s, 'c', %(prefix)s || n, 'visit.recorded', %(prefix)s || n, 'SAMPLE-' || n,
           n %% %(shards)s, '', now()
      from generate_series(1, %(count)s) n
    returning arrival, payer_id, shard, member_id, received_at
)
"""

_BACKLOG = f"""{_SENT}
insert into visit_event_waiting (shard, arrival, payer_id, member_id, received_at)
select shard, arrival, payer_id, member_id, received_at from sent
"""

_APPLIED = f"""{_SENT}
insert into visit_event_applied (arrival, payer_id, status, applied_at)
select arrival, payer_id, 'applied', now() from sent
"""


@pytest.fixture(params=[0, 10_000], ids=["never analysed", "analysed while nothing waited"])
def connection(request: pytest.FixtureRequest, database_url: str) -> Iterator[Connection]:
    """A service's connection to a database with a backlog of which the planner knows nothing."""
    with psycopg.connect(database_url) as owner:
        # As many pages as a backlog ten times as long has, which is all that the planner goes by.
        for table in TABLES:
            owner.execute(f"alter table {table} set (autovacuum_enabled = off, fillfactor = 10)")
        owner.execute("insert into payer (payer_id, name) values (%s, 'A payer')", [PAYER])
        add_client(owner)
        if request.param:
            owner.execute(_APPLIED, _given("e", request.param))
            owner.execute(f"analyze {', '.join(TABLES)}")
        owner.execute(_BACKLOG, _given("", WAITING))
        for table in TABLES:
            owner.execute(f"alter table {table} reset (fillfactor)")
    with Connection.connect(database_url) as connected:
        for statement in _SETTINGS:
            connected.execute(statement)
        connected.execute("select set_config('needlecap.payers', '*', true)")
        yield connected


def test_as_few_events_are_read_however_many_wait(connection: Connection) -> None:
    """The first of each shard that are asked for, and no others."""
    now = datetime.now(UTC)
    assert PostgresStanding(connection).oldest_due_at(now) is not None
    assert len(PostgresInbox(connection, Trips(connection)).pending(range(SHARDS), OF_EACH, now)) == (
        SHARDS * OF_EACH
    )
    # Of each that is looked at, where it waits and what was sent.
    assert 0 < rows_read(connection) <= SHARDS + 2 * SHARDS * OF_EACH


def test_those_applied_alone_are_read_to_be_marked(connection: Connection) -> None:
    """Marking a few events as applied reads no other that waits."""
    arrivals = connection.execute(
        "select shard, arrival from visit_event_waiting order by arrival desc limit 10"
    ).fetchall()
    results = [
        ApplyResult(arrival=arrival, shard=shard, payer_id=PAYER, status="applied", outcome={})
        for shard, arrival in arrivals
    ]
    before = rows_read(connection)
    PostgresInbox(connection, Trips(connection)).finish(results, datetime.now(UTC))
    assert rows_read(connection) == before + len(results)


def test_no_event_is_read_where_none_waits_any_more(database_url: str) -> None:
    """Though a backlog waited when the table was analysed; and of one that waits no more than is asked."""
    with Connection.connect(database_url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
        connection.execute("insert into payer (payer_id, name) values (%s, 'A payer')", [PAYER])
        add_client(connection)
        connection.execute("select set_config('needlecap.payers', '*', false)")
        connection.execute(_BACKLOG, _given("", ONCE_WAITING))
        connection.execute(f"analyze {', '.join(TABLES)}")
        with connection.transaction():
            before = rows_read(connection)
            assert PostgresWorkerJobs(connection).waiting(OF_EACH) == OF_EACH
            assert rows_read(connection) <= before + OF_EACH
        connection.execute("delete from visit_event_waiting")
        with connection.transaction():
            before = rows_read(connection)
            assert PostgresWorkerJobs(connection).waiting(OF_EACH) == 0
            assert rows_read(connection) == before


def _given(prefix: str, count: int) -> dict[str, object]:
    return {"payer": PAYER, "shards": SHARDS, "prefix": prefix, "count": count}


def rows_read(connection: Connection) -> int:
    """How many rows of events this connection has read, as far as that is not put together yet."""
    row = connection.execute(
        "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables where relname = any (%s)",
        [list(TABLES)],
    ).fetchone()
    assert row is not None
    return int(row[0])
