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

_BACKLOG = """
insert into visit_event (payer_id, client_id, event_id, type, visit_id, member_id, shard, payload_digest,
                         received_at)
select %(payer)s, 'c', n::text, 'visit.recorded', n::text, 'SAMPLE-' || n, n %% %(shards)s, '', now()
  from generate_series(1, %(count)s) n
"""


_APPLIED = """
insert into visit_event (payer_id, client_id, event_id, type, visit_id, member_id, shard, payload_digest,
                         received_at, status, applied_at)
select %(payer)s, 'c', 'e' || n, 'visit.recorded', 'v' || n, 'SAMPLE-' || n, n %% %(shards)s, '', now(),
       'applied', now()
  from generate_series(1, %(count)s) n
"""


@pytest.fixture(params=[0, 10_000], ids=["never analysed", "analysed while nothing waited"])
def connection(request: pytest.FixtureRequest, database_url: str) -> Iterator[Connection]:
    """A service's connection to a database with a backlog of which the planner knows nothing."""
    with psycopg.connect(database_url) as owner:
        # As many pages as a backlog ten times as long has, which is all that the planner goes by.
        owner.execute("alter table visit_event set (autovacuum_enabled = off, fillfactor = 10)")
        owner.execute("insert into payer (payer_id, name) values (%s, 'A payer')", [PAYER])
        add_client(owner)
        if request.param:
            owner.execute(_APPLIED, {"payer": PAYER, "shards": SHARDS, "count": request.param})
            owner.execute("analyze visit_event")
        owner.execute(_BACKLOG, {"payer": PAYER, "shards": SHARDS, "count": WAITING})
        owner.execute("alter table visit_event reset (fillfactor)")
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
    assert 0 < events_read(connection) <= SHARDS + SHARDS * OF_EACH


def test_those_applied_alone_are_read_to_be_marked(connection: Connection) -> None:
    """Marking a few events as applied reads no other that waits."""
    arrivals = connection.execute(
        "select max(arrival) - n from visit_event cross join generate_series(0, 9) n group by n"
    ).fetchall()
    results = [ApplyResult(arrival=arrival, status="applied", outcome={}) for (arrival,) in arrivals]
    before = events_read(connection)
    PostgresInbox(connection, Trips(connection)).finish(results, datetime.now(UTC))
    assert events_read(connection) == before + len(results)


def test_no_event_is_read_where_none_waits_any_more(database_url: str) -> None:
    """Though a backlog waited when the table was analysed; and of one that waits no more than is asked."""
    with Connection.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table visit_event set (autovacuum_enabled = off)")
        connection.execute("insert into payer (payer_id, name) values (%s, 'A payer')", [PAYER])
        add_client(connection)
        connection.execute("select set_config('needlecap.payers', '*', false)")
        connection.execute(_BACKLOG, {"payer": PAYER, "shards": SHARDS, "count": ONCE_WAITING})
        connection.execute("analyze visit_event")
        with connection.transaction():
            before = events_read(connection)
            assert PostgresWorkerJobs(connection).more_wait(OF_EACH)
            assert events_read(connection) <= before + OF_EACH + 1
        connection.execute("update visit_event set status = 'applied', applied_at = now()")
        with connection.transaction():
            before = events_read(connection)
            assert not PostgresWorkerJobs(connection).more_wait(OF_EACH)
            assert events_read(connection) == before


def events_read(connection: Connection) -> int:
    """How many events this connection has read, as far as that is not put together yet."""
    row = connection.execute(
        "select idx_tup_fetch + seq_tup_read from pg_stat_xact_user_tables where relname = 'visit_event'"
    ).fetchone()
    assert row is not None
    return int(row[0])
