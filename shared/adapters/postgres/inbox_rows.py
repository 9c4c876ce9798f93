"""How events come to lie in the inbox, however they were sent there."""

from __future__ import annotations

#: The middle of a statement that begins with `given`: events with their `arrival` and `place`.
#:
#: An event goes to the shard in which an earlier event of its visit lies. Arrivals follow the order
#: given; rows are inserted in the order of their names, so that two senders of overlapping batches wait
#: for each other in one direction only. What is there already is left as it is.
STORED_AND_COUNTED = """
stored as (
    insert into visit_event (arrival, payer_id, client_id, event_id, type, visit_id, member_id, shard,
                             content, payload_digest, received_at)
    select g.arrival, g.payer_id, g.client_id, g.event_id, g.type, g.visit_id,
           coalesce(g.member_id, earlier.member_id), coalesce(earlier.shard, g.shard), g.content::jsonb,
           g.payload_digest, g.received_at
      from given g
      left join lateral (
            select e.shard, e.member_id from visit_event e
             where e.payer_id = g.payer_id and e.client_id = g.client_id and e.visit_id = g.visit_id
             order by e.arrival desc limit 1
      ) earlier on true
     order by g.client_id, g.event_id, g.place
    on conflict (client_id, event_id) do nothing
    returning payer_id, client_id, event_id, shard
), counted as (
    insert into visit_event_count (payer_id, received) select payer_id, count(*) from stored group by payer_id
)
"""
