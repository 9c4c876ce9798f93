"""Where the service stands: counts of events and what waits, each read in one statement."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from shared.domain.standing import EventCounts
from shared.messages import SHARDS


class PostgresStanding:
    """Counts over the payers that the transaction may see."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def event_counts(self) -> dict[str, EventCounts]:
        """What became of each payer's visit events, by payer id, all in one snapshot (I7)."""
        rows = self._connection.execute(
            """
            select p.payer_id,
                   count(e.status),
                   count(*) filter (where e.status = 'applied'),
                   count(*) filter (where e.status = 'rejected'),
                   count(*) filter (where e.status = 'dead'),
                   count(*) filter (where e.status = 'pending'),
                   min(e.received_at) filter (where e.status = 'pending')
              from payer p left join visit_event e on e.payer_id = p.payer_id
             group by p.payer_id
            """
        )
        return {
            payer_id: EventCounts(
                received=received,
                applied=applied,
                rejected=rejected,
                dead=dead,
                pending=pending,
                oldest_pending_at=oldest,
            )
            for payer_id, received, applied, rejected, dead, pending, oldest in rows
        }

    def oldest_due_at(self, now: datetime) -> datetime | None:
        """When the oldest event that a worker could apply now was received; None if none waits.

        Of each shard the event that came first is looked at, so the answer takes as long however many
        wait.
        """
        row = self._connection.execute(
            """
            select min(event.received_at)
              from generate_series(0, %(last)s) as s (shard)
             cross join lateral (
                   select e.received_at from visit_event e
                    where e.shard = s.shard::smallint and e.status = 'pending'
                      and (e.retry_at is null or e.retry_at <= %(now)s)
                    order by e.arrival limit 1
             ) event
            """,
            {"last": SHARDS - 1, "now": now},
        ).fetchone()
        return row[0] if row else None

    def refolds_waiting(self) -> int:
        """How many members wait to be folded again."""
        row = self._connection.execute("select count(*) from refold_request").fetchone()
        return int(row[0]) if row else 0

    def counters_waiting(self) -> int:
        """How many members' counters are older than their state."""
        row = self._connection.execute("select count(*) from counter_outbox").fetchone()
        return int(row[0]) if row else 0
