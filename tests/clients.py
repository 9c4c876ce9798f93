"""Clients of tests, written straight into a database."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from shared.domain.client_key import key_digest, new_key


def add_client(
    connection: psycopg.Connection[Any] | psycopg.Cursor[Any],
    client_id: str = "c",
    *,
    name: str | None = None,
    role: str = "ehr",
    payers: Sequence[str] = ("*",),
    requests_per_second: int | None = None,
) -> None:
    """Store a client without a key."""
    connection.execute(
        "insert into client (client_id, name, role, payers, requests_per_second) values (%s, %s, %s, %s, %s)",
        [client_id, name or client_id, role, list(payers), requests_per_second],
    )


def add_key(
    connection: psycopg.Connection[Any],
    client_id: str,
    hash_key: bytes,
    *,
    expires_at: datetime | None = None,
) -> str:
    """Store a further key of a client, and answer it."""
    key, prefix = new_key(secrets.token_bytes)
    connection.execute(
        "insert into credential (prefix, kind, client_id, digest, expires_at) values (%s, 'key', %s, %s, %s)",
        [prefix, client_id, key_digest(hash_key, key), expires_at],
    )
    return key
