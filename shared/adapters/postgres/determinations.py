"""Determinations: the recorded answers to eligibility checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from shared.adapters.postgres.arrays import Bigints, Instants, Texts, Utf8Texts
from shared.adapters.postgres.trips import Statement, Trips
from shared.domain.determination_record import AnsweredCheck, DeterminationRecord
from shared.domain.records import MemberRef

_INSERT = Statement(
    "determinations",
    """
insert into determination
       (check_id, payer_id, client_id, decided_at, catalog_version, request, body, standing)
select check_id, payer_id, client_id, decided_at, catalog_version, request::json, body::json, standing::json
  from unnest(%(check_ids)b::text[], %(payers)b::text[], %(clients)b::text[], %(decided)b::timestamptz[],
              %(catalogs)b::bigint[], %(requests)b::text[], %(bodies)b::text[], %(standings)b::text[])
       as given (check_id, payer_id, client_id, decided_at, catalog_version, request, body, standing)
""",
)


class PostgresDeterminations:
    """Answers in one transaction. They are written once and never changed."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction, which commits by way of `trips`."""
        self._connection = connection
        self._trips = trips

    def record(self, records: Sequence[DeterminationRecord]) -> None:
        """Write answers with the commit, before they are given."""
        errand = _INSERT.errand(
            {
                "check_ids": Texts([r.check_id for r in records]),
                "payers": Texts([r.payer_id for r in records]),
                "clients": Texts([r.client_id for r in records]),
                "decided": Instants([r.decided_at for r in records]),
                "catalogs": Bigints([r.catalog_version for r in records]),
                "requests": Utf8Texts([r.request for r in records]),
                "bodies": Utf8Texts([r.body for r in records]),
                "standings": Utf8Texts([r.standing for r in records]),
            }
        )
        self._trips.tell(errand)

    def body(self, check_id: str) -> tuple[MemberRef, bytes] | None:
        """Whom an answer is about, and the answer as it was given, byte for byte.

        None if the transaction sees none of that id.
        """
        row = self._connection.execute(
            """
            select payer_id, request ->> 'member_id', body::text
              from determination where check_id = %(check_id)s
            """,
            {"check_id": check_id},
        ).fetchone()
        return (MemberRef(payer_id=row[0], member_id=row[1]), row[2].encode()) if row else None

    def find(self, check_id: str) -> AnsweredCheck | None:
        """The whole record of an answer; None if the transaction sees none of that id."""
        row = self._connection.execute(
            """
            select d.check_id, d.payer_id, d.client_id, d.decided_at, d.catalog_version,
                   d.request::text, d.body::text, d.standing::text, c.name, c.role, p.name
              from determination d
              join client c on c.client_id = d.client_id
              join payer p on p.payer_id = d.payer_id
             where d.check_id = %(check_id)s
            """,
            {"check_id": check_id},
        ).fetchone()
        if row is None:
            return None
        record = DeterminationRecord(
            check_id=row[0],
            payer_id=row[1],
            client_id=row[2],
            decided_at=row[3],
            catalog_version=row[4],
            request=row[5].encode(),
            body=row[6].encode(),
            standing=row[7].encode() if row[7] is not None else None,
        )
        return AnsweredCheck(record=record, client_name=row[8], client_role=row[9], payer_name=row[10])
