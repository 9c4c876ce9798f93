"""Determinations: the recorded answers to eligibility checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from shared.domain.determination_record import DeterminationRecord

_INSERT = """
insert into determination (check_id, payer_id, client_id, decided_at, catalog_version, request, body)
select * from unnest(%(check_ids)s::text[], %(payers)s::text[], %(clients)s::text[],
                     %(decided)s::timestamptz[], %(catalogs)s::bigint[], %(requests)s::json[],
                     %(bodies)s::json[])
"""


class PostgresDeterminations:
    """Answers in one transaction. They are written once and never changed."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def record(self, records: Sequence[DeterminationRecord]) -> None:
        """Write answers, before they are given."""
        self._connection.execute(
            _INSERT,
            {
                "check_ids": [r.check_id for r in records],
                "payers": [r.payer_id for r in records],
                "clients": [r.client_id for r in records],
                "decided": [r.decided_at for r in records],
                "catalogs": [r.catalog_version for r in records],
                "requests": [r.request.decode() for r in records],
                "bodies": [r.body.decode() for r in records],
            },
        )

    def body(self, check_id: str) -> bytes | None:
        """The answer as it was given, byte for byte; None if the transaction sees none of that id."""
        row = self._connection.execute(
            "select body::text from determination where check_id = %(check_id)s", {"check_id": check_id}
        ).fetchone()
        return row[0].encode() if row else None
