"""Clients and what is kept of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from shared.domain.client import Client, ClientRecord


class PostgresClients:
    """Calling systems, found by what they show."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def find(self, prefixes: Sequence[str]) -> dict[str, ClientRecord]:
        """The clients whose keys begin with these prefixes, by prefix; unknown ones are absent."""
        rows = self._connection.execute(
            """
            select key_prefix, client_id, name, role, payers, key_digest, expires_at, revoked_at
              from client where key_prefix = any (%(prefixes)s)
            """,
            {"prefixes": list(prefixes)},
        )
        return {
            prefix: ClientRecord(
                client=Client(client_id=client_id, name=name, role=role, payers=tuple(payers)),
                key_digest=bytes(digest),
                expires_at=expires_at,
                revoked_at=revoked_at,
            )
            for prefix, client_id, name, role, payers, digest, expires_at, revoked_at in rows
        }

    def id_of(self, name: str) -> str | None:
        """The id of the client with this name, or None."""
        row = self._connection.execute(
            "select client_id from client where name = %(name)s", {"name": name}
        ).fetchone()
        return str(row[0]) if row else None
