"""An event's payer and client exist, and stay: noted once a statement instead of looked up for each event."""

from __future__ import annotations

import psycopg
import pytest

from tests.builders import PAYER
from tests.clients import add_client

_INSERT = (
    "insert into visit_event (payer_id, client_id, event_id, type, visit_id, shard, payload_digest,"
    " received_at) select %(payer)s, c.client_id, gen_random_uuid()::text, 'visit.voided',"
    " n::text, 1, '', now()"
    " from unnest(%(clients)s::text[]) c (client_id), generate_series(1, 3) n"
)


def insert(url: str, payer_id: str, *clients: str) -> None:
    """Put three events of each of these clients into the inbox."""
    with psycopg.connect(url) as connection:
        connection.execute(_INSERT, {"payer": payer_id, "clients": list(clients)})


def change(url: str, statement: str) -> None:
    """Do something as the owner of the tables."""
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def found(url: str, *clients: str) -> None:
    """Make the payer and these clients."""
    with psycopg.connect(url) as connection:
        connection.execute("insert into payer (payer_id, name) values (%s, 'A payer')", [PAYER])
        for client_id in clients:
            add_client(connection, client_id)


@pytest.fixture
def sent(database_url: str) -> str:
    """A database with events of the payer from one client."""
    found(database_url, "c")
    insert(database_url, PAYER, "c")
    return database_url


@pytest.mark.parametrize(("payer_id", "client_id"), [("nobody", "c"), (PAYER, "nobody")])
def test_event_of_nobody_is_refused(sent: str, payer_id: str, client_id: str) -> None:
    """Neither a payer nor a client that does not exist can have events, whoever writes them."""
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        insert(sent, payer_id, "c", client_id)
    with psycopg.connect(sent) as connection:
        assert connection.execute("select count(*) from visit_event").fetchone() == (3,)


@pytest.mark.parametrize("column", ["payer_id", "client_id"])
def test_event_stays_whose_it_is(sent: str, column: str) -> None:
    """An update to another payer or client is refused; one that changes neither is not."""
    with pytest.raises(psycopg.errors.RaiseException, match="do not change"):
        change(sent, f"update visit_event set {column} = 'nobody'")
    change(sent, f"update visit_event set {column} = {column}")


@pytest.mark.parametrize(("table", "key"), [("payer", PAYER), ("client", "c")])
def test_who_has_events_cannot_be_deleted(sent: str, table: str, key: str) -> None:
    """Neither the payer nor the client of an event goes or changes its id while the event is there."""
    for statement in (
        f"delete from {table} where {table}_id = '{key}'",
        f"update {table} set {table}_id = 'x' where {table}_id = '{key}'",
    ):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            change(sent, statement)


def test_first_events_of_a_client_at_once_do_not_wait_for_each_other(database_url: str) -> None:
    """Neither sees that the other notes the same; both are taken in, whichever is committed first."""
    found(database_url, "c")
    given = {"payer": PAYER, "clients": ["c"]}
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        second.execute("set lock_timeout = '5s'")
        first.execute(_INSERT, given)
        second.execute(_INSERT, given)
        second.commit()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from visit_event").fetchone() == (6,)
    insert(database_url, PAYER, "c")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from visit_event_source").fetchone() == (2,)
