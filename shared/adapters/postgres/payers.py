"""Payers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg


class PostgresPayers:
    """The payers that the transaction may see."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def existing(self, payer_ids: Sequence[str]) -> set[str]:
        """Those of the given ids that are payers."""
        rows = self._connection.execute(
            "select payer_id from payer where payer_id = any (%(ids)s)", {"ids": list(payer_ids)}
        )
        return {payer_id for (payer_id,) in rows}

    def lock(self, payer_id: str) -> None:
        """Keep others from changing or reading the payer's plans and rules until the transaction ends."""
        self._connection.execute(
            "select from payer where payer_id = %(payer_id)s for no key update", {"payer_id": payer_id}
        )

    def put(self, payer_id: str, name: str) -> bool:
        """Name a payer, making it if it is new. True if it was new."""
        row = self._connection.execute(
            """
            insert into payer as p (payer_id, name) values (%(payer_id)s, %(name)s)
            on conflict (payer_id) do update
               set name = excluded.name,
                   version = p.version + (p.name is distinct from excluded.name)::int
            returning version = 1 and xmax = 0
            """,
            {"payer_id": payer_id, "name": name},
        ).fetchone()
        return bool(row and row[0])
