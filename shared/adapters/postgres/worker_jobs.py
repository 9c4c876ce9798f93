"""The worker's own book-keeping: which shards have work, who does it, when it was done and how much."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg

from shared.adapters.postgres.inbox_rows import FIRST_DUE_OF_SHARD
from shared.adapters.postgres.planning import in_index_order
from shared.messages import SHARDS

#: The first key of the advisory locks that keep a job to one worker at a time.
_JOB_LOCKS = 7_202

#: So many rows of `visit_event_count` are added up in no time; beyond, they are put together.
_COUNT_ROWS_MAX = 2_000


class PostgresWorkerJobs:
    """Jobs of the worker in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def claim(self, job: str) -> bool:
        """Take a job until the transaction ends; False when another worker is at it."""
        row = self._connection.execute(
            "select pg_try_advisory_xact_lock(%s, hashtext(%s))", [_JOB_LOCKS, job]
        ).fetchone()
        return bool(row and row[0])

    def now(self) -> datetime:
        """The database's time: one clock for all workers."""
        row = self._connection.execute("select clock_timestamp()").fetchone()
        assert row is not None, "a select without from answers one row"
        moment: datetime = row[0]
        return moment

    def shards_with_work(self, now: datetime) -> list[int]:
        """The shards with events due at `now` or members to fold again, longest waiting first."""
        with in_index_order(self._connection):
            rows = self._connection.execute(
                f"""
                select s.shard
                  from generate_series(0, %(last)s) as s (shard)
                  left join lateral {FIRST_DUE_OF_SHARD} event on true
                  left join lateral (
                        select 1 as asked from refold_request r where r.shard = s.shard::smallint limit 1
                  ) refold on true
                 where event.arrival is not null or refold.asked is not null
                 order by event.arrival nulls last, s.shard
                """,
                {"last": SHARDS - 1, "now": now},
            ).fetchall()
        return [shard for (shard,) in rows]

    def waiting(self, up_to: int) -> int:
        """How many events are pending, of so many at most; no others are read.

        Asked of all shards together it could be planned as a walk through the whole table, in which right
        after a backlog many events are thought to be pending.
        """
        with in_index_order(self._connection):
            row = self._connection.execute(
                """
                select count(*) from (
                    select from generate_series(0, %(last)s) as s (shard)
                     cross join lateral (
                           select w.arrival from visit_event_waiting w
                            where w.shard = s.shard::smallint
                            order by w.arrival limit %(up_to)s
                     ) event
                     limit %(up_to)s
                ) waiting
                """,
                {"up_to": up_to, "last": SHARDS - 1},
            ).fetchone()
        return int(row[0]) if row else 0

    def note_run(self, job: str) -> None:
        """Record that a job has just come to its end."""
        self._connection.execute("set local synchronous_commit = off")
        self._connection.execute(
            """
            insert into worker_job (job, last_run_at) values (%s, clock_timestamp())
            on conflict (job) do update set last_run_at = excluded.last_run_at
            """,
            [job],
        )

    def seconds_since(self, job: str) -> float | None:
        """How long ago a job last came to its end, by the database's clock; None if it never did."""
        row = self._connection.execute(
            "select extract(epoch from clock_timestamp() - last_run_at) from worker_job where job = %s", [job]
        ).fetchone()
        return None if row is None else float(row[0])

    def add_totals(self, counts: Mapping[str, int]) -> None:
        """Add to what all workers together have done."""
        if counts:
            self._connection.execute(
                """
                insert into worker_total as t (name, total)
                select * from unnest(%(names)s::text[], %(counts)s::bigint[]) order by 1
                on conflict (name) do update set total = t.total + excluded.total
                """,
                {"names": list(counts), "counts": list(counts.values())},
            )

    def gather_event_counts(self) -> None:
        """Put the rows that count visit events together, one for each payer, once there are many.

        Their sums stay as they are, for whoever reads them at the same time too.
        """
        self._connection.execute(
            """
            with gone as (
                delete from visit_event_count
                 where (select count(*) from (select from visit_event_count limit %(most)s) few) = %(most)s
                returning payer_id, received, applied, rejected
            )
            insert into visit_event_count (payer_id, received, applied, rejected)
            select payer_id, sum(received), sum(applied), sum(rejected) from gone group by payer_id
            """,
            {"most": _COUNT_ROWS_MAX},
        )

    def totals(self) -> dict[str, int]:
        """What all workers together have done, by name."""
        return dict(self._connection.execute("select name, total from worker_total").fetchall())
