"""Members whose counter is older than their state, and what their counters should show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import psycopg

from shared.adapters.postgres.arrays import Bigints
from shared.adapters.postgres.ledger_rows import ACCUMULATOR_COLUMNS, accumulator_from
from shared.adapters.postgres.member_rows import member_arrays
from shared.adapters.postgres.trips import Statement, Trips
from shared.domain.records import CounterImage, MemberRef

# One statement, so that version and accumulators are of one moment.
_IMAGES = f"""
select k.payer_id, k.member_id, k.version, {ACCUMULATOR_COLUMNS}
  from unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
  join member k on k.payer_id = m.payer_id and k.member_id = m.member_id
  left join accumulator a on a.payer_id = k.payer_id and a.member_id = k.member_id and a.in_use
 order by k.payer_id, k.member_id, a.plan_id, a.limit_id, a.basis, a.period_start, a.period_end, a.subject
"""

_FORGET = Statement(
    "forget_counters",
    """
delete from counter_outbox o
 using unnest(%(payers)b::text[], %(members)b::text[], %(versions)b::bigint[])
       as p (payer_id, member_id, version)
 where o.payer_id = p.payer_id and o.member_id = p.member_id and o.version <= p.version
""",
)

# The rows are locked, so that whoever is changing a member has queued it before, and nothing is queued here.
_QUEUE_AGAIN = Statement(
    "queue_counters_again",
    """
insert into counter_outbox (payer_id, member_id, version)
select k.payer_id, k.member_id, k.version
  from unnest(%(payers)b::text[], %(members)b::text[], %(versions)b::bigint[])
       as p (payer_id, member_id, version)
  join member k on k.payer_id = p.payer_id and k.member_id = p.member_id
 where k.version > p.version
 order by 1, 2
   for share of k
on conflict (payer_id, member_id) do nothing
""",
)

_MARK = Statement("mark", "savepoint before_forgetting").errand()
_TO_MARK = Statement("to_mark", "rollback to savepoint before_forgetting").errand()

#: For what is not worth a disk's turn.
_HURRIED = Statement("hurried", "set local synchronous_commit = off")


class PostgresOutbox:
    """The queue of counters to project, in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction, part of whose statements go by `trips`."""
        self._connection = connection
        self._trips = trips

    def waiting(self, seconds: float, limit: int) -> list[MemberRef]:
        """Members queued at least `seconds` ago, longest first, at most `limit`."""
        rows = self._connection.execute(
            """
            select payer_id, member_id from counter_outbox
             where queued_at <= now() - make_interval(secs => %s) order by queued_at limit %s
            """,
            [seconds, limit],
        )
        return [MemberRef(payer_id=payer_id, member_id=member_id) for payer_id, member_id in rows]

    def images(self, refs: Sequence[MemberRef]) -> list[CounterImage]:
        """What the counters of those of these members that exist should show, all as of one moment."""
        rows = self._connection.execute(_IMAGES, member_arrays(refs)).fetchall()
        return [
            CounterImage(
                ref=MemberRef(payer_id=payer_id, member_id=member_id),
                version=version,
                accumulators=tuple(accumulator_from(row[3:]) for row in of_member if row[3] is not None),
            )
            for (payer_id, member_id, version), of_member in groupby(rows, key=lambda row: row[:3])
        ]

    def forget(self, projected: Sequence[CounterImage]) -> None:
        """Take members off the queue, save those that changed again since their image.

        Those go onto it again if they are not there: a newer image of them was projected and forgotten,
        and if Redis has lost it since, this older one, written late, is what a counter shows now (I5).
        """
        given = {
            **member_arrays([image.ref for image in projected]),
            "versions": Bigints([image.version for image in projected]),
        }
        # If this is lost in a crash the members are projected once more: not worth a disk's turn.
        *_, forgotten = self._trips.do(_HURRIED.errand(), _MARK, _FORGET.errand(given))
        # A member is queued with each change of it, so one that was queued with no newer version has none.
        if forgotten < len(projected):
            # Whoever changes members locks them before their places in the queue. We give the places back
            # first, or each would wait for the other.
            self._trips.do(_TO_MARK, _QUEUE_AGAIN.errand(given), _FORGET.errand(given))

    def queue(self, refs: Sequence[MemberRef]) -> None:
        """Put members on the queue as they stand now."""
        self._connection.execute(
            """
            insert into counter_outbox (payer_id, member_id, version)
            select k.payer_id, k.member_id, k.version
              from unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
              join member k on k.payer_id = m.payer_id and k.member_id = m.member_id
             order by 1, 2
            on conflict (payer_id, member_id)
            do update set version = greatest(counter_outbox.version, excluded.version)
            """,
            member_arrays(refs),
        )

    def queued(self, refs: Sequence[MemberRef]) -> set[MemberRef]:
        """Those of these members that are on the queue."""
        rows = self._connection.execute(
            """
            select o.payer_id, o.member_id
              from unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
              join counter_outbox o on o.payer_id = m.payer_id and o.member_id = m.member_id
            """,
            member_arrays(refs),
        )
        return {MemberRef(payer_id=payer_id, member_id=member_id) for payer_id, member_id in rows}

    def sample(self, size: int) -> list[MemberRef]:
        """About `size` members of whom anything was counted, at random; at most `size`."""
        row = self._connection.execute(
            "select greatest(reltuples, 0)::bigint from pg_class where oid = 'member'::regclass"
        ).fetchone()
        # Not counted yet, or few enough: all blocks of the table are looked at, up to `size` rows.
        members = row[0] if row else 0
        percent = 100.0 if members <= size else 100.0 * size / members
        rows = self._connection.execute(
            """
            select payer_id, member_id from member tablesample system (%s::real)
             where version > 0 limit %s
            """,
            [percent, size],
        )
        return [MemberRef(payer_id=payer_id, member_id=member_id) for payer_id, member_id in rows]
