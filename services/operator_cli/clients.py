"""Clients in the database: made, listed and revoked on the operator's behalf."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row

from services.operator_cli.errors import OperatorError, ServerError
from shared.domain.client_key import key_digest, key_prefix

ALL_PAYERS = "*"
CONNECT_SECONDS_MAX = 5
POSTGRES_PORT = 5432


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRow:
    """A client as an operator sees it: everything but the digest of its key."""

    name: str
    role: str
    payers: list[str]
    key_prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class ClientStore:
    """The table of clients, on one connection. Each method is a transaction of its own."""

    def __init__(self, connection: psycopg.Connection, hash_key: bytes, new_id: Callable[[], str]) -> None:
        self._connection = connection
        self._hash_key = hash_key
        self._new_id = new_id

    def create(
        self, *, name: str, role: str, payers: Sequence[str], key: str, expires_at: datetime | None = None
    ) -> None:
        """Make a client with this key.

        Raises OperatorError if the name is taken or a payer is not known.
        """
        self._refuse_unknown(payers)
        try:
            with self._connection.transaction():
                self._connection.execute(
                    "insert into client (client_id, name, role, payers, key_prefix, key_digest, expires_at)"
                    " values (%(client_id)s, %(name)s, %(role)s, %(payers)s, %(prefix)s, %(digest)s,"
                    " %(expires_at)s)",
                    self._values(name=name, role=role, payers=payers, key=key) | {"expires_at": expires_at},
                )
        except psycopg.errors.UniqueViolation as error:
            raise OperatorError(f"There is a client named {name} already.") from error

    def ensure(self, *, name: str, role: str, payers: Sequence[str], key: str) -> None:
        """Make a client with this key, or give the client of this name this key.

        One that has this key already stays as it is, revoked or not.
        """
        with self._connection.transaction():
            self._connection.execute(
                "insert into client (client_id, name, role, payers, key_prefix, key_digest)"
                " values (%(client_id)s, %(name)s, %(role)s, %(payers)s, %(prefix)s, %(digest)s)"
                " on conflict (name) do update set role = excluded.role, payers = excluded.payers,"
                " key_prefix = excluded.key_prefix, key_digest = excluded.key_digest, revoked_at = null"
                " where client.key_digest <> excluded.key_digest",
                self._values(name=name, role=role, payers=payers, key=key),
            )

    def list(self) -> list[ClientRow]:
        """All clients, by name."""
        with (
            self._connection.transaction(),
            self._connection.cursor(row_factory=class_row(ClientRow)) as cursor,
        ):
            cursor.execute(
                "select name, role, payers, key_prefix, created_at, expires_at, revoked_at"
                " from client order by name"
            )
            return cursor.fetchall()

    def revoke(self, name: str) -> bool:
        """Close the door to a client for good; False if it was closed already.

        Raises OperatorError if there is none of that name.
        """
        with self._connection.transaction():
            revoked = self._connection.execute(
                "update client set revoked_at = now() where name = %s and revoked_at is null", [name]
            )
            known = self._connection.execute("select from client where name = %s", [name]).fetchone()
        if known is None:
            raise OperatorError(f"There is no client named {name}.")
        return revoked.rowcount == 1

    def _values(self, *, name: str, role: str, payers: Sequence[str], key: str) -> dict[str, object]:
        return {
            "client_id": self._new_id(),
            "name": name,
            "role": role,
            "payers": list(payers),
            "prefix": key_prefix(key),
            "digest": key_digest(self._hash_key, key),
        }

    def _refuse_unknown(self, payers: Sequence[str]) -> None:
        named = [payer for payer in payers if payer != ALL_PAYERS]
        with self._connection.transaction():
            rows = self._connection.execute("select payer_id from payer where payer_id = any (%s)", [named])
            known = {row[0] for row in rows}
        unknown = [payer for payer in named if payer not in known]
        if unknown:
            raise OperatorError(f"There is no payer {', '.join(unknown)}.")


def _place(database_url: str) -> str:
    """Where a database is said to be, without the credentials; nothing if the URL does not say."""
    try:
        said = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError:
        return ""
    return f" at {said['host']}:{said.get('port') or POSTGRES_PORT}" if said.get("host") else ""


@contextlib.contextmanager
def open_clients(database_url: str, hash_key: bytes, new_id: Callable[[], str]) -> Iterator[ClientStore]:
    """The table of clients in a database.

    Raises ServerError if the database cannot be reached.
    """
    try:
        connection = psycopg.connect(database_url, autocommit=True, connect_timeout=CONNECT_SECONDS_MAX)
    except psycopg.OperationalError as error:
        raise ServerError(
            f"The database{_place(database_url)} cannot be reached, or lets nobody in with these credentials;"
            " is `needlecap run` running?"
        ) from error
    with connection:
        # The operator's command sees all payers, also where row-level security applies to its role.
        connection.execute("select set_config('needlecap.payers', %s, false)", [ALL_PAYERS])
        yield ClientStore(connection, hash_key, new_id)
