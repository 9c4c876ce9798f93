"""The second wall: what the database itself refuses the services' role, table by table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.offices import open_office

#: Tables whose rows belong to no payer. A new table is either here or has a payer, and so a wall.
NOBODYS = {
    "alembic_version",
    "audit_retention",
    "catalog",
    "catalog_reference",
    "client",
    "client_jwks",
    "credential",
    "used_assertion",
    "worker_job",
    "worker_total",
}


@pytest.fixture(scope="module")
def database(postgres: Any) -> Iterator[str]:
    """A database in which something was counted, for tests that change nothing."""
    with postgres.database("row_level_security") as url:
        office = open_office(url)
        office.accept(office.enroll())
        office.database.close()
        yield url


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as the services have one before a transaction says what it may see."""
    with psycopg.connect(database) as connected:
        connected.execute("set role needlecap_app")
        connected.commit()
        yield connected
        connected.rollback()


def tables(connection: psycopg.Connection[Any]) -> set[str]:
    """Every table that there is, partitions and their parents too."""
    rows = connection.execute(
        "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
    )
    return {name for (name,) in rows}


def payers_tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Every table with rows of payers."""
    rows = connection.execute(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace"
        " and a.attname = 'payer_id' and not a.attisdropped order by 1"
    )
    return [name for (name,) in rows]


def test_every_table_has_a_payer_or_is_named_here(connection: psycopg.Connection[Any]) -> None:
    """A table that is added cannot be forgotten, on either side."""
    walled = set(payers_tables(connection))
    assert tables(connection) - walled == NOBODYS
    assert {"visit_event", "visit", "audit_entry", "determination"} <= walled


def test_every_table_of_payers_has_a_wall(connection: psycopg.Connection[Any]) -> None:
    """Row-level security is on, with a policy that holds for reads and writes, and a check for inserts."""
    for table in payers_tables(connection):
        row = connection.execute(
            "select c.relrowsecurity, count(p.polname), count(*) filter (where p.polcmd = '*')"
            " from pg_class c left join pg_policy p on p.polrelid = c.oid"
            " where c.oid = %s::regclass group by 1",
            [table],
        ).fetchone()
        assert row == (True, 1, 1), table


def test_without_payers_every_table_is_empty_and_refuses_writes(
    connection: psycopg.Connection[Any], database: str
) -> None:
    """Nothing is read, inserted, updated or deleted by a session that has not said what it may see."""
    walled = payers_tables(connection)
    before = contents(database, walled)
    assert {"visit_event", "member", "plan", "payer"} <= {table for table, rows in before.items() if rows}
    for table in walled:
        name = sql.Identifier(table)
        # A rule document that names no payer, or several, is everybody's to read.
        count = sql.SQL("select count(*) from {} where payer_id is not null").format(name)
        assert connection.execute(count).fetchone() == (0,), table
        insert = sql.SQL("insert into {} (payer_id) values ('x')").format(name)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(insert)
        for statement in ("update {} set payer_id = payer_id", "delete from {}"):
            assert touched(connection, sql.SQL(statement).format(name)) == 0, (table, statement)
    # Rows without a payer are no way around it.
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute("insert into audit_entry (payer_id) values (null)")
    connection.commit()
    assert contents(database, walled) == before


def touched(connection: psycopg.Connection[Any], statement: sql.Composed) -> int:
    """How many rows a statement changed; none when it is refused."""
    try:
        with connection.transaction():
            return connection.execute(statement).rowcount
    except psycopg.errors.InsufficientPrivilege:
        return 0


def contents(url: str, names: list[str]) -> dict[str, list[str]]:
    """Every row of these tables, as a superuser sees them."""
    with psycopg.connect(url) as connected:
        return {
            name: [
                row
                for (row,) in connected.execute(
                    sql.SQL("select t::text from {} t order by 1").format(sql.Identifier(name))
                )
            ]
            for name in names
        }


def test_services_role_has_no_way_past_the_wall(connection: psycopg.Connection[Any], database: str) -> None:
    """It owns nothing, has no privilege above others', and a login in it can become nobody else."""
    row = connection.execute(
        """
        select rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication,
               (select count(*) from pg_class where relowner = r.oid),
               (select count(*) from pg_proc where proowner = r.oid),
               (select count(*) from pg_namespace where nspowner = r.oid),
               (select count(*) from pg_auth_members where member = r.oid)
          from pg_roles r where rolname = 'needlecap_app'
        """
    ).fetchone()
    assert row == (False, False, False, False, False, 0, 0, 0, 0)
    with psycopg.connect(database) as connected:
        (owner,) = connected.execute(
            "select relowner::regrole::text from pg_class where relname = 'visit_event'"
        ).fetchone() or ("",)
        connected.execute("create role walls_login login in role needlecap_app")
        connected.execute("set session authorization walls_login")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connected.transaction():
            connected.execute(sql.SQL("set role {}").format(sql.Identifier(owner)))
        connected.execute("set role needlecap_app")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connected.transaction():
            connected.execute("alter table visit_event disable row level security")
        connected.rollback()
