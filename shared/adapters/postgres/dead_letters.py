"""Dead events: visit events that failed too often and wait for an operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from shared.domain.operator_records import DeadEvent

_COLUMNS = """d.arrival, d.payer_id, c.name, e.event_id, e.type, d.attempts, d.failure, e.received_at,
    d.dead_since, d.discarded_at, d.discarded_by, d.discard_reason"""


class PostgresDeadLetters:
    """Dead events in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def count(self, payer_id: str | None, *, discarded: bool) -> int:
        """How many there are of one payer or of all, discarded ones or the others."""
        row = self._connection.execute(
            """
            select count(*) from visit_event_dead d
             where (d.discarded_at is not null) = %(discarded)s
               and (%(payer)s::text is null or d.payer_id = %(payer)s)
            """,
            {"payer": payer_id, "discarded": discarded},
        ).fetchone()
        return int(row[0]) if row else 0

    def after(self, payer_id: str | None, arrival: int, limit: int, *, discarded: bool) -> list[DeadEvent]:
        """The next ones behind an arrival, the oldest first."""
        rows = self._connection.execute(
            f"""
            select {_COLUMNS} from visit_event_dead d join visit_event e on e.arrival = d.arrival
              join client c on c.client_id = e.client_id
             where (d.discarded_at is not null) = %(discarded)s
               and d.arrival > %(arrival)s and (%(payer)s::text is null or d.payer_id = %(payer)s)
             order by d.arrival limit %(limit)s
            """,
            {"payer": payer_id, "arrival": arrival, "limit": limit, "discarded": discarded},
        )
        return [_event_from(row) for row in rows]

    def statuses(self, arrivals: Sequence[int]) -> dict[int, str]:
        """What each of these events is: its status, or `discarded`. Unknown ones are absent."""
        rows = self._connection.execute(
            """
            select e.arrival, case when exists (select from visit_event_dead d
                                                 where d.arrival = e.arrival and d.discarded_at is not null)
                                   then 'discarded' else e.status end
              from visit_event_in_full e where e.arrival = any (%s)
            """,
            [list(arrivals)],
        )
        return dict(rows.fetchall())

    def retry(self, arrivals: Sequence[int]) -> list[int]:
        """Have these dead events applied again, each in the place where it arrived; those that were dead.

        Their last failure stays with them until they are applied. A discarded event stays where it is.
        """
        rows = self._connection.execute(
            """
            with back as (
                delete from visit_event_dead where arrival = any (%s) and discarded_at is null
                returning arrival, failure
            )
            insert into visit_event_waiting (shard, arrival, payer_id, member_id, received_at, failure)
            select e.shard, e.arrival, e.payer_id, e.member_id, e.received_at, back.failure
              from back join visit_event e on e.arrival = back.arrival
            returning arrival
            """,
            [list(arrivals)],
        )
        return sorted(arrival for (arrival,) in rows)

    def discard(self, arrivals: Sequence[int], by: str, reason: str, now: datetime) -> list[int]:
        """Give these dead events up, for good; those that were dead. They stay counted as dead (I7)."""
        rows = self._connection.execute(
            """
            update visit_event_dead
               set discarded_at = %(now)s, discarded_by = %(by)s, discard_reason = %(reason)s
             where arrival = any (%(arrivals)s) and discarded_at is null
            returning arrival
            """,
            {"arrivals": list(arrivals), "now": now, "by": by, "reason": reason},
        )
        return sorted(arrival for (arrival,) in rows)


def _event_from(row: Sequence[Any]) -> DeadEvent:
    return DeadEvent(
        arrival=row[0],
        payer_id=row[1],
        client_name=row[2],
        event_id=row[3],
        type=row[4],
        attempts=row[5],
        failure=row[6],
        received_at=row[7],
        dead_since=row[8],
        discarded_at=row[9],
        discarded_by=row[10],
        discard_reason=row[11],
    )
