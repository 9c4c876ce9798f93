"""Bringing a database to the newest schema."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import psycopg.sql
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from services.operator_cli.errors import ServerError
from services.operator_cli.migrations import SCRIPTS_PATH, migrate
from services.operator_cli.runner.ports import choose
from tests.servers import Postgres


@pytest.fixture
def empty_database_url(postgres: Postgres) -> str:
    """A database without any schema; it goes with the suite's server."""
    name = f"empty_{threading.get_ident()}_{choose(None)}"
    postgres.embedded.create_database(name)
    return postgres.embedded.url(name)


def _versions() -> list[str]:
    return sorted(path.stem for path in (SCRIPTS_PATH / "versions").glob("*.py"))


def test_versions_have_one_head_and_their_sql_beside_them() -> None:
    """Versions form one line, numbered in order, each a pair of files."""
    scripts = ScriptDirectory(str(SCRIPTS_PATH))
    line = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    assert len(scripts.get_heads()) == 1
    assert line == [f"{number:04}" for number in range(1, len(line) + 1)]
    assert [name[:4] for name in _versions()] == line
    assert _versions() == sorted(path.stem for path in (SCRIPTS_PATH / "versions").glob("*.sql"))


_OWNERS = """
insert into payer (payer_id, name) values ('p', 'P'), ('q', 'Q');
insert into client (client_id, name, role, payers) values ('c', 'C', 'ehr', '{*}')
"""


def test_empty_database_gets_every_version_once(empty_database_url: str) -> None:
    """The first call applies all versions in order, the second finds nothing to do."""
    assert migrate(empty_database_url) == _versions()
    assert migrate(empty_database_url) == []


def test_whose_events_there_are_is_noted_for_those_that_were_there_before(empty_database_url: str) -> None:
    """A database with events from before they were noted has a note of each payer and client, once."""
    _migrate_to(empty_database_url, "0010")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(_OWNERS)
        connection.execute(
            "insert into visit_event (payer_id, client_id, event_id, type, visit_id, shard, payload_digest,"
            " received_at) select 'p', 'c', n::text, 'visit.voided', n::text, 1, '', now()"
            " from generate_series(1, 3) n"
        )
    assert migrate(empty_database_url)[0].startswith("0011")
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select * from visit_event_source").fetchall() == [("p", "c")]


def test_what_became_of_events_is_kept_as_it_was(empty_database_url: str) -> None:
    """Events that were accepted before what was sent was written once are what they were."""
    _migrate_to(empty_database_url, "0018")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(_OWNERS)
        connection.execute(
            "insert into visit_event (payer_id, client_id, event_id, type, visit_id, member_id, shard,"
            " payload_digest, received_at, status, attempts, retry_at, failure, outcome, applied_at,"
            " discarded_at, discarded_by, discard_reason) values"
            " ('p', 'c', 'e1', 't', 'v1', 'm', 1, '', now(), 'applied', 0, null, null, '{\"b\":1,\"a\":2}',"
            " '2026-01-01', null, null, null),"
            " ('p', 'c', 'e2', 't', 'v2', 'm', 2, '', now(), 'rejected', 0, null, null, '{}', '2026-01-02',"
            " null, null, null),"
            " ('q', 'c', 'e3', 't', 'v3', 'm', 3, '', now(), 'applied', 0, null, null, '{}', '2026-01-03',"
            " null, null, null),"
            " ('p', 'c', 'e4', 't', 'v4', null, 4, '', now(), 'pending', 2, '2026-01-04', 'KeyError', null,"
            " null, null, null, null),"
            " ('p', 'c', 'e5', 't', 'v5', 'm', 5, '', now(), 'dead', 5, null, 'TypeError', null,"
            " '2026-01-05', '2026-01-06', 'pat', 'test')"
        )
        before = connection.execute(_TOLD.format("visit_event")).fetchall()
    assert migrate(empty_database_url)[0].startswith("0019")
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute(_TOLD.format("visit_event_in_full")).fetchall() == [
            # A dead event was never applied.
            row if row[1] != "dead" else (*row[:3], None, *row[4:])
            for row in before
        ]
        waiting = connection.execute(
            "select arrival, shard, payer_id, member_id, attempts, retry_at::date::text, failure"
            " from visit_event_waiting"
        ).fetchall()
        assert waiting == [(before[3][0], 4, "p", None, 2, "2026-01-04", "KeyError")]
        dead = connection.execute(
            "select arrival, payer_id, attempts, failure, dead_since::date::text, discarded_at::date::text,"
            " discarded_by, discard_reason from visit_event_dead"
        ).fetchall()
        assert dead == [(before[4][0], "p", 5, "TypeError", "2026-01-05", "2026-01-06", "pat", "test")]


_TOLD = "select arrival, status, outcome::text, applied_at, failure, shard, event_id from {} order by arrival"


def _migrate_to(database_url: str, version: str) -> None:
    """Bring an empty database to an older version."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database_url), poolclass=NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS_PATH))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


def test_callers_at_the_same_time_do_not_collide(empty_database_url: str) -> None:
    """Of four that start together one applies the versions and the others wait for it."""
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [empty_database_url] * 4))
    assert sorted(applied) == [[], [], [], _versions()]


def test_services_role_owns_nothing_and_cannot_pass_the_walls(database_url: str) -> None:
    """The role that the services work under has no privilege that row-level security would yield to."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select rolsuper, rolbypassrls, rolcanlogin, rolcreatedb, rolcreaterole,"
            " (select count(*) from pg_class where relowner = pg_roles.oid)"
            " from pg_roles where rolname = 'needlecap_app'"
        ).fetchone()
    assert row == (False, False, False, False, False, 0)


def test_unreachable_database_is_said_without_its_password() -> None:
    """A wrong address ends in a message, not in a trace, and not in a secret on the screen."""
    with pytest.raises(ServerError, match="cannot be migrated") as refusal:
        migrate(f"postgresql://postgres:hidden-word@127.0.0.1:{choose(None)}/needlecap")
    assert "hidden-word" not in refusal.value.message


def test_database_of_another_encoding_is_refused(postgres: Postgres) -> None:
    """A database that cannot keep every character is refused in a sentence, and left as it was."""
    name = f"bytes_{choose(None)}"
    with psycopg.connect(postgres.embedded.url("postgres"), autocommit=True) as admin:
        admin.execute(
            psycopg.sql.SQL("create database {} encoding 'SQL_ASCII' locale 'C' template template0").format(
                psycopg.sql.Identifier(name)
            )
        )
    url = postgres.embedded.url(name)
    with pytest.raises(ServerError, match="encoding UTF8; this one has SQL_ASCII"):
        migrate(url)
    with psycopg.connect(url) as connection:
        assert connection.execute("select to_regclass('payer')").fetchone() == (None,)
