"""Clients in the database: made, listed, given new keys and revoked on the operator's behalf."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row

from services.operator_cli.errors import OperatorError, ServerError
from shared.domain.client import ALL_PAYERS
from shared.domain.client_key import key_digest, key_prefix

CONNECT_SECONDS_MAX = 5
POSTGRES_PORT = 5432

#: Keys of one client that work at the same time: one in use, and those being rotated out.
OPEN_KEYS_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRow:
    """A client as an operator sees it. `open_keys` work now; `last_used_at` is the last use of any key.

    `signs` where public keys of it are registered, by which it gets tokens.
    """

    client_id: str
    name: str
    role: str
    payers: list[str]
    requests_per_second: int | None
    created_at: datetime
    revoked_at: datetime | None
    open_keys: int
    signs: bool
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key as an operator sees it: everything but its digest."""

    prefix: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksRow:
    """Registered public keys: the ids of an inline set's keys, or the address of a set."""

    jwks_id: str
    key_ids: list[str] | None
    url: str | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class ClientStore:
    """The table of clients, on one connection. Each method is a transaction of its own."""

    def __init__(self, connection: psycopg.Connection, hash_key: bytes, new_id: Callable[[], str]) -> None:
        self._connection = connection
        self._hash_key = hash_key
        self._new_id = new_id

    def create(
        self,
        *,
        name: str,
        role: str,
        payers: Sequence[str],
        key: str | None,
        expires_at: datetime | None = None,
        requests_per_second: int | None = None,
    ) -> str:
        """Make a client with this key, or with none; its id.

        Raises OperatorError if the name is taken or a payer is not known.
        """
        client_id = self._new_id()
        self._refuse_unknown(payers)
        try:
            with self._connection.transaction():
                self._connection.execute(
                    "insert into client (client_id, name, role, payers, requests_per_second)"
                    " values (%s, %s, %s, %s, %s)",
                    [client_id, name, role, list(payers), requests_per_second],
                )
                if key is not None:
                    self._insert_key(client_id, key, expires_at)
        except psycopg.errors.UniqueViolation as error:
            raise OperatorError(f"There is a client named {name} already.") from error
        return client_id

    def ensure(
        self, *, name: str, role: str, payers: Sequence[str], key: str, requests_per_second: int
    ) -> None:
        """Make a client with this key, or give the client of this name this key alone.

        One that has this key already stays as it is, revoked or not.
        """
        with self._connection.transaction():
            known = self._connection.execute(
                "select from credential c join client using (client_id)"
                " where c.prefix = %s and c.digest = %s and name = %s",
                [key_prefix(key), key_digest(self._hash_key, key), name],
            ).fetchone()
            if known is not None:
                return
            row = self._connection.execute(
                "insert into client (client_id, name, role, payers, requests_per_second)"
                " values (%s, %s, %s, %s, %s)"
                " on conflict (name) do update set role = excluded.role, payers = excluded.payers,"
                " revoked_at = null returning client_id",
                [self._new_id(), name, role, list(payers), requests_per_second],
            ).fetchone()
            assert row is not None, "an upsert answers its row"
            self._connection.execute("delete from credential where client_id = %s", [row[0]])
            self._insert_key(row[0], key, None)

    def list(self) -> list[ClientRow]:
        """All clients, by name."""
        with (
            self._connection.transaction(),
            self._connection.cursor(row_factory=class_row(ClientRow)) as cursor,
        ):
            return cursor.execute(
                "select client_id, name, role, k.payers, requests_per_second, k.created_at, k.revoked_at,"
                " count(c) filter (where c.kind = 'key' and c.revoked_at is null and k.revoked_at is null"
                " and (c.expires_at is null or c.expires_at > now())) as open_keys,"
                " k.revoked_at is null and exists (select from client_jwks j"
                " where j.client_id = k.client_id and j.revoked_at is null) as signs,"
                " max(c.last_used_at) as last_used_at"
                " from client k left join credential c using (client_id) group by client_id order by name"
            ).fetchall()

    def show(self, name: str) -> tuple[ClientRow, Sequence[KeyRow], Sequence[JwksRow]]:
        """A client with its keys and registered public keys, the newest first.

        Raises OperatorError if there is none of that name.
        """
        client = next((row for row in self.list() if row.name == name), None)
        if client is None:
            raise _unknown(name)
        with self._connection.transaction():
            with self._connection.cursor(row_factory=class_row(KeyRow)) as cursor:
                keys = cursor.execute(
                    "select prefix, created_at, expires_at, last_used_at, revoked_at from credential"
                    " where client_id = %s and kind = 'key' order by created_at desc, prefix",
                    [client.client_id],
                ).fetchall()
            with self._connection.cursor(row_factory=class_row(JwksRow)) as cursor:
                registered = cursor.execute(
                    "select jwks_id, url, created_at, last_used_at, revoked_at,"
                    " (select array_agg(key ->> 'kid') from jsonb_array_elements(document -> 'keys') as key)"
                    " as key_ids from client_jwks where client_id = %s order by created_at desc, jwks_id",
                    [client.client_id],
                ).fetchall()
        return client, keys, registered

    def rotate(self, name: str, *, key: str, overlap: timedelta, expires_at: datetime | None) -> None:
        """Give a client a further key; those it has now end after the overlap, if not before.

        Raises OperatorError if there is none of that name, it was revoked, or has too many keys.
        """
        with self._connection.transaction():
            client_id = self._open_client(name)
            ended = self._connection.execute(
                "update credential set expires_at = least(expires_at, now() + %s) where client_id = %s"
                " and kind = 'key' and revoked_at is null and (expires_at is null or expires_at > now())",
                [overlap, client_id],
            )
            if ended.rowcount >= OPEN_KEYS_MAX and overlap:
                raise OperatorError(f"{name} has {ended.rowcount} keys that work; revoke some first.")
            self._insert_key(client_id, key, expires_at)

    def update(self, name: str, *, payers: Sequence[str] | None, requests_per_second: int | None) -> None:
        """Change what a client may see, and how often it may call; None leaves it as it is.

        Raises OperatorError if there is none of that name, it was revoked, or a payer is not known.
        """
        self._refuse_unknown(payers or ())
        with self._connection.transaction():
            self._connection.execute(
                "update client set payers = coalesce(%s, payers),"
                " requests_per_second = coalesce(%s, requests_per_second) where client_id = %s",
                [None if payers is None else list(payers), requests_per_second, self._open_client(name)],
            )

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
            raise _unknown(name)
        return revoked.rowcount == 1

    def revoke_key(self, name: str, prefix: str) -> bool:
        """Close the door to one key of a client for good; False if it was closed already.

        Raises OperatorError if the client has no such key.
        """
        return self._revoke_part("credential", "kind = 'key' and prefix", name, prefix, "key")

    def add_jwks(self, name: str, *, jwks_id: str, document: str | None, url: str | None) -> None:
        """Register public keys of a client: a JWK Set, or the address of one.

        Raises OperatorError if there is none of that name or it was revoked.
        """
        with self._connection.transaction():
            self._connection.execute(
                "insert into client_jwks (jwks_id, client_id, document, url) values (%s, %s, %s, %s)",
                [jwks_id, self._open_client(name), document, url],
            )

    def revoke_jwks(self, name: str, jwks_id: str) -> bool:
        """Take no more signatures by registered keys, nor tokens issued on them; False if none were taken.

        Raises OperatorError if the client has no such registration.
        """
        return self._revoke_part("client_jwks", "jwks_id", name, jwks_id, "registration of public keys")

    def _revoke_part(self, table: str, where: str, name: str, value: str, what: str) -> bool:
        # Table and condition are constants of the methods above.
        condition = f"{where} = %s and client_id = (select client_id from client where name = %s)"  # noqa: S608
        with self._connection.transaction():
            revoked = self._connection.execute(
                f"update {table} set revoked_at = now() where {condition} and revoked_at is null",  # noqa: S608
                [value, name],
            )
            known = self._connection.execute(
                f"select from {table} where {condition}",
                [value, name],
            ).fetchone()
        if known is None:
            raise OperatorError(f"The client {name} has no {what} {value}.")
        return revoked.rowcount == 1

    def _insert_key(self, client_id: str, key: str, expires_at: datetime | None) -> None:
        self._connection.execute(
            "insert into credential (prefix, kind, client_id, digest, expires_at)"
            " values (%s, 'key', %s, %s, %s)",
            [key_prefix(key), client_id, key_digest(self._hash_key, key), expires_at],
        )

    def _open_client(self, name: str) -> str:
        """The id of a client, held until the transaction ends so that two rotations follow each other."""
        row = self._connection.execute(
            "select client_id, revoked_at from client where name = %s for update", [name]
        ).fetchone()
        if row is None:
            raise _unknown(name)
        if row[1] is not None:
            raise OperatorError(f"The client {name} was revoked; make a new one.")
        return str(row[0])

    def _refuse_unknown(self, payers: Sequence[str]) -> None:
        named = [payer for payer in payers if payer != ALL_PAYERS]
        with self._connection.transaction():
            rows = self._connection.execute("select payer_id from payer where payer_id = any (%s)", [named])
            known = {row[0] for row in rows}
        unknown = [payer for payer in named if payer not in known]
        if unknown:
            raise OperatorError(f"There is no payer {', '.join(unknown)}.")


def _unknown(name: str) -> OperatorError:
    return OperatorError(f"There is no client named {name}.")


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
