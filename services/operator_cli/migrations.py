"""Brings a database to the newest schema. Alembic keeps the order; the versions are plain SQL."""

from __future__ import annotations

from pathlib import Path

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from services.operator_cli.errors import ServerError
from services.operator_cli.settings import AUDIT_DAYS

SCRIPTS_PATH = Path(__file__).parents[2] / "deploy" / "migrations"
CONNECT_SECONDS_MAX = 10
# Any constant will do, as long as nothing else in the database takes the same lock.
LOCK_ID = 0x6E65_6564_6C65


def migrate(database_url: str, *, audit_days: int = AUDIT_DAYS) -> list[str]:
    """Apply the versions that are missing, all in one transaction; their names, oldest first.

    The audit trail is kept for `audit_days` from then on.

    Safe to call by several at once: one works, the others wait and find nothing to do. Raises
    ServerError if the database cannot be reached, is not UTF-8 or a version fails; then nothing has
    changed.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _connect(database_url),
        poolclass=NullPool,
    )
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({LOCK_ID})")
            before = MigrationContext.configure(connection).get_current_revision()
            command.upgrade(_config(connection), "head")
            after = MigrationContext.configure(connection).get_current_revision()
            # The owner's to say: the services may delete no entry that is younger.
            connection.exec_driver_sql("update audit_retention set days = %s", (audit_days,))
    except (psycopg.Error, DBAPIError) as error:
        # What the driver said, without the statement that SQLAlchemy adds to it.
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise ServerError(f"The database cannot be migrated: {cause}") from error
    return [] if before == after else _names_between(before, after)


def apply_sql_beside(version_file: str) -> None:
    """Run the SQL file of the same name as a version, exactly as it stands.

    The driver's connection is used directly, without parameters, so that one call takes many
    statements and gives no meaning to `%` or `:`.
    """
    statements = Path(version_file).with_suffix(".sql").read_text(encoding="utf-8")
    driver_connection = op.get_bind().connection.driver_connection
    assert isinstance(driver_connection, psycopg.Connection)
    driver_connection.execute(statements.encode())


def _connect(database_url: str) -> psycopg.Connection:
    """Connect. Raises ServerError unless the database is UTF-8: names and rules' texts may hold anything."""
    connection = psycopg.connect(database_url, connect_timeout=CONNECT_SECONDS_MAX)
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise ServerError(f"The database must be created with encoding UTF8; this one has {encoding}.")
    return connection


def _config(connection: object = None) -> Config:
    config = Config()
    # Config reads this as an ini value, where a lone % would start an interpolation.
    config.set_main_option("script_location", str(SCRIPTS_PATH).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _names_between(before: str | None, after: str | None) -> list[str]:
    assert after is not None, "an upgrade leads somewhere"
    scripts = ScriptDirectory.from_config(_config())
    found = scripts.iterate_revisions(after, before or "base")
    return [Path(script.path).stem for script in reversed(list(found))]
