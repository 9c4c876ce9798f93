"""Where the service stands: counts of events and what waits, each read in one statement."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from shared.adapters.postgres.inbox_rows import FIRST_DUE_OF_SHARD
from shared.adapters.postgres.planning import in_index_order
from shared.domain.standing import EventCounts
from shared.messages import SHARDS


class PostgresStanding:
    """Counts over the payers that the transaction may see."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def event_counts(self) -> dict[str, EventCounts]:
        """What became of each payer's visit events, by payer id, all in one snapshot (I7)."""
        # Received, applied and rejected were counted as they happened; what waits or is dead is counted
        # here, in tables that hold nothing else. One statement, so one snapshot of all.
        rows = self._connection.execute(
            """
            select p.payer_id, coalesce(booked.received, 0), coalesce(booked.applied, 0),
                   coalesce(booked.rejected, 0), coalesce(dead.events, 0), coalesce(waiting.events, 0),
                   coalesce(dead.discarded, 0), waiting.oldest
              from payer p
              left join (
                    select payer_id, sum(received)::bigint as received, sum(applied)::bigint as applied,
                           sum(rejected)::bigint as rejected
                      from visit_event_count group by payer_id
              ) booked on booked.payer_id = p.payer_id
              left join (
                    select payer_id, count(*) as events, count(discarded_at) as discarded
                      from visit_event_dead group by payer_id
              ) dead on dead.payer_id = p.payer_id
              left join (
                    select payer_id, count(*) as events, min(received_at) as oldest
                      from visit_event_waiting group by payer_id
              ) waiting on waiting.payer_id = p.payer_id
            """
        )
        return {
            payer_id: EventCounts(
                received=received,
                applied=applied,
                rejected=rejected,
                dead=dead,
                pending=pending,
                discarded=discarded,
                oldest_pending_at=oldest,
            )
            for payer_id, received, applied, rejected, dead, pending, discarded, oldest in rows
        }

    def oldest_due_at(self, now: datetime) -> datetime | None:
        """When the oldest event that a worker could apply now was received; None if none waits.

        Of each shard the event that came first is looked at, so the answer takes as long however many
        wait.
        """
        with in_index_order(self._connection):
            row = self._connection.execute(
                f"""
                select min(event.received_at)
                  from generate_series(0, %(last)s) as s (shard)
                 cross join lateral {FIRST_DUE_OF_SHARD} event
                """,
                {"last": SHARDS - 1, "now": now},
            ).fetchone()
        return row[0] if row else None

    def schema_version(self) -> str:
        """The newest version of the schema that was applied."""
        row = self._connection.execute("select version_num from alembic_version").fetchone()
        assert row is not None, "a schema has a version"
        return str(row[0])

    def refolds_waiting(self) -> int:
        """How many members wait to be folded again."""
        row = self._connection.execute("select count(*) from refold_request").fetchone()
        return int(row[0]) if row else 0

    def counters_waiting(self) -> int:
        """How many members' counters are older than their state."""
        row = self._connection.execute("select count(*) from counter_outbox").fetchone()
        return int(row[0]) if row else 0
