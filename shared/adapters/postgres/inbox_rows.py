"""How events come to lie in the inbox, however they were sent there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_DUE_AT = "(w.retry_at is null or w.retry_at <= {now})"

#: That an event that waits, `w`, may be applied at `now`; and the same for a `Statement`, which takes arrays.
DUE = _DUE_AT.format(now="%(now)s")
DUE_PACKED = _DUE_AT.format(now="(%(now)b::timestamptz[])[1]")

#: The event that came first of those due in the shard `s.shard`, to be joined laterally. It is to be planned
#: `in_index_order`: a look into the index for each shard, however many events wait.
FIRST_DUE_OF_SHARD = f"""(
    select w.arrival, w.received_at from visit_event_waiting w
     where w.shard = s.shard::smallint and {DUE}
     order by w.arrival limit 1
)"""

#: The name of the constraint that is violated when an event comes that is there.
ONCE = "visit_event_once"

_STORED_AND_COUNTED = """
known as materialized (
    select exists (select from visit_event e
                    where e.visit_id = any (%(visits)b::text[]) and e.client_id = any (%(clients)b::text[]))
           as found
), drawn as (
    select array_agg(arrival order by arrival) as arrivals
      from (select nextval('arrival_seq') as arrival
              from generate_series(1, cardinality(%(places)b::integer[]))) one
), stored as (
    insert into visit_event (arrival, payer_id, client_id, event_id, type, visit_id, member_id, shard,
                             content, payload_digest, received_at)
    select (select arrivals from drawn)[g.place], g.payer_id, g.client_id, g.event_id, g.type, g.visit_id,
           coalesce(g.member_id, earlier.member_id), coalesce(earlier.shard, g.shard), g.content::json,
           g.payload_digest, g.received_at
      from given g
      left join lateral (
            select e.shard, e.member_id from visit_event e
             where (select found from known)
               and e.payer_id = g.payer_id and e.client_id = g.client_id and e.visit_id = g.visit_id
             order by e.arrival desc limit 1
      ) earlier on true
    {on_conflict}
    returning arrival, payer_id, client_id, event_id, member_id, shard, received_at
), waiting as (
    insert into visit_event_waiting (shard, arrival, payer_id, member_id, received_at)
    select shard, arrival, payer_id, member_id, received_at from stored
), counted as (
    insert into visit_event_count (payer_id, received) select payer_id, count(*) from stored group by payer_id
)
"""

#: The middle of a statement that begins with `given`: events in the order of `insertion_order`, each with
#: its `place` (from 1) among those sent; `places`, `visits` and `clients` are arrays of what is in these.
#:
#: Most visits are new: whether any is known is asked once, which takes one pass over the index of visits, and
#: only if one is they are looked up one by one.
#: An event goes to the shard in which an earlier event of its visit lies. Arrivals follow the places. What
#: is there already is left as it is.
STORED_AND_COUNTED = _STORED_AND_COUNTED.format(on_conflict="on conflict (client_id, event_id) do nothing")

#: The same of events of which none is there and none comes twice; else it fails with a violation of `ONCE`.
#: With `on conflict` Postgres looks each name up twice, and marks each row twice: as one that may have to go,
#: and as one that stays.
STORED_NEW_AND_COUNTED = _STORED_AND_COUNTED.format(on_conflict="")


def insertion_order(names: Sequence[Any]) -> list[int]:
    """The places (from 0) of events in the order in which they are to be inserted: that of their names.

    So two senders of overlapping batches wait for each other in one direction only. They are put in order
    here: Postgres would copy whole rows to sort them. Of one name the first comes first.
    """
    return sorted(range(len(names)), key=names.__getitem__)
