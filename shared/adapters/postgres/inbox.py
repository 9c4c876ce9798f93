"""The inbox in Postgres: accepting, claiming and finishing visit events, each in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg.errors import UniqueViolation

from shared.accounting.codec import content_from
from shared.adapters.postgres.alike import written_once
from shared.adapters.postgres.arrays import Bigints, Blobs, Instants, Integers, Smallints, Texts, Utf8Texts
from shared.adapters.postgres.hold_locks import holds_named_by, name_holds
from shared.adapters.postgres.inbox_rows import DUE, DUE_PACKED, STORED_AND_COUNTED, insertion_order
from shared.adapters.postgres.member_rows import member_arrays
from shared.adapters.postgres.pending_rows import PENDING_COLUMNS, pending_from
from shared.adapters.postgres.planning import IN_ANY_ORDER, IN_INDEX_ORDER
from shared.adapters.postgres.trips import Statement, Trips
from shared.domain.errors import ConcurrentChange
from shared.domain.inbox import ApplyResult, NewEvent, PendingEvent
from shared.domain.records import MemberRef
from shared.domain.visit import VisitEvent, VisitKey
from shared.messages import SHARDS

#: The first key of the advisory locks that claim shards.
_SHARD_LOCKS = 7_201

#: A failed event is tried again after this many seconds, doubled with each attempt.
_RETRY_SECONDS = 2

_ACCEPT = Statement(
    "accept",
    f"""
with given as (
    select * from unnest(
        %(payer_ids)b::text[], %(clients)b::text[], %(event_ids)b::text[], %(types)b::text[],
        %(visits)b::text[], %(member_ids)b::text[], %(shards)b::smallint[], %(contents)b::text[],
        %(digests)b::bytea[], %(received)b::timestamptz[], %(places)b::integer[]
    ) as t (payer_id, client_id, event_id, type, visit_id, member_id, shard, content, payload_digest,
            received_at, place)
), {STORED_AND_COUNTED}
select client_id, event_id, shard from stored
""",
)

# The given members with everyone who was merged into the same member as they, or into them.
_FAMILY = """
    asked as (
        select m.payer_id, m.member_id, k.merged_into
          from unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
          left join member k on k.payer_id = m.payer_id and k.member_id = m.member_id
    ),
    family as (
        select payer_id, coalesce(merged_into, member_id) as member_id from asked
         union
        select k.payer_id, k.member_id from asked a
          join member k on k.payer_id = a.payer_id and k.merged_into = coalesce(a.merged_into, a.member_id)
         where k.merged_into is not null
    )
"""

# Looked up for each, never joined: planned while nothing waited a join would read all that waits.
_WAITING = """(select * from visit_event_waiting w
                where w.shard = e.shard and w.arrival = e.arrival offset 0)"""
_OF_MEMBER = """(select * from visit_event_waiting w
                  where w.payer_id = m.payer_id and w.member_id = m.member_id offset 0)"""

_CLAIM = Statement(
    "claim_shards",
    f"""
select s.shard from unnest(%(shards)b::integer[]) as s (shard)
 where pg_try_advisory_xact_lock({_SHARD_LOCKS}, s.shard)
""",
)

# To be asked between `IN_INDEX_ORDER` and `IN_ANY_ORDER`, or it collects and sorts all that waits.
_PENDING = Statement(
    "pending_events",
    f"""
select p.* from unnest(%(shards)b::smallint[]) as s (shard)
 cross join lateral (
       select said.* from visit_event_waiting w
        cross join lateral (
              {PENDING_COLUMNS} from visit_event e where e.arrival = w.arrival offset 0
        ) said
        where w.shard = s.shard and {DUE_PACKED}
        order by w.arrival limit (%(of_each)b::integer[])[1]
 ) p
 order by p.arrival
""",
)

# That what waits is named by shards and arrivals, not joined to them, lets it be found in one way alone: a
# join that was planned while nothing waited would read a whole backlog for each batch.
_FINISH = Statement(
    "finish_events",
    """
with told as materialized (
    select nextval('visit_event_outcome_seq') as outcome_no, payer_id, outcome, place
      from unnest(%(owners)b::text[], %(outcomes)b::text[]) with ordinality as o (payer_id, outcome, place)
), kept as (
    insert into visit_event_outcome (outcome_no, payer_id, outcome)
    select outcome_no, payer_id, outcome::json from told
), gone as (
    delete from visit_event_waiting
     where shard = any (%(shards)b::smallint[]) and arrival = any (%(arrivals)b::bigint[])
    returning 1
), applied as (
    insert into visit_event_applied (arrival, payer_id, status, applied_at, outcome_no)
    select g.arrival, told.payer_id, g.status, (%(now)b::timestamptz[])[1], told.outcome_no
      from (select unnest(%(arrivals)b::bigint[]) as arrival, unnest(%(statuses)b::text[]) as status,
                   unnest(%(places)b::integer[]) as place) g
      join told using (place)
    returning payer_id, status
), counted as (
    insert into visit_event_count (payer_id, applied, rejected)
    select payer_id, count(*) filter (where status = 'applied'), count(*) filter (where status = 'rejected')
      from applied group by payer_id
)
select count(*) from gone
""",
)


class PostgresInbox:
    """Visit events in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction, part of whose statements go by `trips`."""
        self._connection = connection
        self._trips = trips

    def accept(self, events: Sequence[NewEvent]) -> dict[tuple[str, str], int]:
        """Store events that are not there yet; the shard of each stored one, by (client, event id).

        Events of one visit always share a shard, so that they are applied in the order they came: a
        void or correction follows the event before it. Those missing from the answer were there.
        """
        name_holds(self._connection, holds_named_by(events))
        order = insertion_order([(e.client_id, e.event_id) for e in events])
        events = [events[place] for place in order]
        errand = _ACCEPT.errand(
            {
                "places": Integers([place + 1 for place in order]),
                "payer_ids": Texts([e.payer_id for e in events]),
                "clients": Texts([e.client_id for e in events]),
                "event_ids": Texts([e.event_id for e in events]),
                "types": Texts([e.type for e in events]),
                "visits": Texts([e.visit_id for e in events]),
                "member_ids": Texts([e.member_id for e in events]),
                "shards": Smallints([e.shard for e in events]),
                "contents": Utf8Texts([_json_or_null(e.content) for e in events]),
                "digests": Blobs([e.payload_digest for e in events]),
                "received": Instants([e.received_at for e in events]),
            }
        )
        return {(client_id, event_id): shard for client_id, event_id, shard in self._trips.ask(errand)}

    def claim_shards(self, shards: Sequence[int]) -> list[int]:
        """Take shards until the transaction ends; those that another drainer has are left out."""
        return [shard for (shard,) in self._trips.ask(_CLAIM.errand({"shards": Integers(shards)}))]

    def wait_for_shards(self, shards: Sequence[int]) -> None:
        """Take shards until the transaction ends, waiting for their drainers.

        They are taken in order, so that none waits for another in a circle. Raises ValueError for one that
        there is not.
        """
        for shard in sorted(set(shards)):
            if not 0 <= shard < SHARDS:
                raise ValueError("no such shard")
            self._connection.execute("select pg_advisory_xact_lock(%s, %s)", [_SHARD_LOCKS, shard])

    def shards_waiting(self, refs: Iterable[MemberRef]) -> list[int]:
        """The shards in which events of these members are pending."""
        rows = self._connection.execute(
            f"""
            with {_FAMILY}
            select distinct w.shard from family m cross join lateral {_OF_MEMBER} w order by w.shard
            """,
            member_arrays(refs),
        )
        return [shard for (shard,) in rows]

    def pending_of(
        self, refs: Iterable[MemberRef], shards: Sequence[int], now: datetime
    ) -> list[PendingEvent]:
        """The events that wait in these shards for visits of these members, in arrival order.

        Only those that are due and have not failed before. A visit's events come together, also those
        that name another member.
        """
        rows = self._connection.execute(
            f"""
            with {_FAMILY}, named as materialized (
                select distinct n.payer_id, n.client_id, n.visit_id
                  from family m cross join lateral {_OF_MEMBER} w
                 cross join lateral (select e.payer_id, e.client_id, e.visit_id from visit_event e
                                      where e.arrival = w.arrival offset 0) n
            )
            select p.* from named n
             cross join lateral (
                   {PENDING_COLUMNS}
                     from visit_event e cross join lateral {_WAITING} w
                    where e.visit_id = n.visit_id and e.payer_id = n.payer_id and e.client_id = n.client_id
                      and w.shard = any (%(shards)s) and w.attempts = 0 and {DUE}
                   offset 0
             ) p
             order by p.arrival
            """,
            {**member_arrays(refs), "shards": list(shards), "now": now},
        )
        return pending_from(rows.fetchall())

    def pending(self, shards: Sequence[int], of_each: int, now: datetime) -> list[PendingEvent]:
        """The oldest pending events that are due, at most `of_each` of each shard, in arrival order."""
        given = {"shards": Smallints(shards), "of_each": Integers([of_each]), "now": Instants([now])}
        _, rows, _ = self._trips.ask_all(IN_INDEX_ORDER, _PENDING.errand(given), IN_ANY_ORDER)
        return pending_from(rows)

    def pending_among(self, arrivals: Sequence[int], now: datetime) -> list[PendingEvent]:
        """Those of the given events that are still pending and due."""
        rows = self._connection.execute(
            f"""{PENDING_COLUMNS}
                  from visit_event e cross join lateral {_WAITING} w
                 where e.arrival = any (%(arrivals)b::bigint[]) and {DUE} order by e.arrival""",
            {"arrivals": list(arrivals), "now": now},
        )
        return pending_from(rows.fetchall())

    def number_anew(self, arrivals: Sequence[int]) -> dict[int, int]:
        """Give those of these pending events that were overtaken a new arrival; each old one's new one.

        Arrivals are drawn before they are committed, so of two that came at once the later number may be
        seen, and applied, first. An earlier visit of the same shard that was there would have been applied
        with it or before it; it was not there, unless it failed (`failure` then tells so, also after
        an operator had it tried again). What waits for the same visit behind it stays behind it.
        """
        rows = self._connection.execute(
            f"""
            with overtaken as materialized (
                select e.arrival, e.payer_id, e.client_id, e.visit_id
                  from visit_event e cross join lateral {_WAITING} w
                 where e.arrival = any (%(arrivals)b::bigint[]) and w.failure is null
                   and exists (
                       select from visit v join visit_event later on later.arrival = v.arrival
                        where v.payer_id = e.payer_id and v.member_id = e.member_id
                          and v.arrival > e.arrival and later.shard = e.shard)
            ), numbered as materialized (
                select moved.shard, moved.arrival, nextval('arrival_seq') as anew from (
                    select e.shard, e.arrival
                      from visit_event e
                      join overtaken o on (e.payer_id, e.client_id, e.visit_id)
                                        = (o.payer_id, o.client_id, o.visit_id)
                     cross join lateral {_WAITING} w
                     where e.arrival >= o.arrival
                     order by e.arrival
                ) moved
            ), waiting as (
                update visit_event_waiting w set arrival = n.anew
                  from numbered n where w.shard = n.shard and w.arrival = n.arrival
            )
            update visit_event e set arrival = n.anew from numbered n where e.arrival = n.arrival
            returning n.arrival, n.anew
            """,
            {"arrivals": list(arrivals)},
        )
        return dict(rows.fetchall())

    def applied_events(self, payer_id: str, key: VisitKey) -> list[VisitEvent]:
        """Every applied event of one visit, in arrival order."""
        rows = self._connection.execute(
            """
            select arrival, event_id, type, (received_at at time zone 'UTC')::date, content
              from visit_event_in_full
             where payer_id = %s and client_id = %s and visit_id = %s and status = 'applied'
             order by arrival
            """,
            [payer_id, key.client_id, key.visit_id],
        )
        return [
            VisitEvent(
                arrival=arrival,
                client_id=key.client_id,
                event_id=event_id,
                type=kind,
                payer_id=payer_id,
                visit_id=key.visit_id,
                received_on=received_on,
                content=content_from(content) if content is not None else None,
            )
            for arrival, event_id, kind, received_on, content in rows
        ]

    def finish(self, results: Sequence[ApplyResult], now: datetime) -> None:
        """Record what became of each event. Raises ConcurrentChange when one does not wait any more."""
        if not results:
            return
        places, owners, outcomes = written_once(
            ((result.payer_id, result.outcome) for result in results), orjson.dumps
        )
        finishing = _FINISH.errand(
            {
                "now": Instants([now]),
                "shards": Smallints(sorted({result.shard for result in results})),
                "arrivals": Bigints([result.arrival for result in results]),
                "statuses": Texts([result.status for result in results]),
                "places": places,
                "owners": owners,
                "outcomes": outcomes,
            }
        )
        try:
            [[gone]] = self._trips.ask(finishing)
        except UniqueViolation as error:
            raise ConcurrentChange from error
        if gone != len(results):
            raise ConcurrentChange

    def fail(self, arrival: int, failure: str, now: datetime, attempts_max: int) -> None:
        """Count a failed attempt; the event is due again later, or dead after `attempts_max`."""
        self._connection.execute(
            """
            with failed as (
                delete from visit_event_waiting w
                 using visit_event e
                 where e.arrival = %(arrival)s and w.shard = e.shard and w.arrival = e.arrival
                   and w.attempts + 1 >= %(max)s
                returning w.arrival, w.payer_id, w.attempts
            ), dead as (
                insert into visit_event_dead (arrival, payer_id, attempts, failure, dead_since)
                select arrival, payer_id, attempts + 1, %(failure)s, %(now)s from failed
            )
            update visit_event_waiting w
               set attempts = w.attempts + 1, failure = %(failure)s,
                   retry_at = %(now)s + make_interval(secs => %(retry)s * 2 ^ w.attempts)
              from visit_event e
             where e.arrival = %(arrival)s and w.shard = e.shard and w.arrival = e.arrival
               and w.attempts + 1 < %(max)s
            """,
            {
                "arrival": arrival,
                "failure": failure,
                "now": now,
                "max": attempts_max,
                "retry": float(_RETRY_SECONDS),
            },
        )


def _json_or_null(content: Mapping[str, Any] | None) -> bytes | None:
    return None if content is None else orjson.dumps(content)
