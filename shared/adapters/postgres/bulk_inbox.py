"""The inbox for streams: events come in by COPY, through a table of the connection's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import psycopg

from shared.adapters.postgres.hold_locks import holds_named_by, name_holds
from shared.adapters.postgres.inbox_rows import STORED_AND_COUNTED
from shared.domain.inbox import NewEvent
from shared.domain.intake import Intake

_ARRIVING = """
create temporary table if not exists arriving_event (
    place integer not null,
    payer_id text not null,
    client_id text not null,
    event_id text not null,
    type text not null,
    visit_id text not null,
    member_id text,
    shard smallint not null,
    content jsonb,
    payload_digest bytea not null,
    received_at timestamptz not null
) on commit delete rows
"""

_COPY = """
copy arriving_event (place, payer_id, client_id, event_id, type, visit_id, member_id, shard, content,
                     payload_digest, received_at) from stdin
"""

_ACCEPT = f"""
with given as materialized (
    select placed.*, nextval('arrival_seq') as arrival
      from (select * from arriving_event order by place) placed
), {STORED_AND_COUNTED}
select min(a.place), s.shard
  from stored s join arriving_event a on a.client_id = s.client_id and a.event_id = s.event_id
 group by s.client_id, s.event_id, s.shard
"""

_REPLAYED = """
select a.place from arriving_event a
  join visit_event e on e.client_id = a.client_id and e.event_id = a.event_id
 where e.payload_digest = a.payload_digest and a.place <> all (%(accepted)s)
"""


class PostgresBulkInbox:
    """Events by the thousand in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def take_in(self, events: Sequence[NewEvent]) -> Intake:
        """Store events that are not there yet, in order; an event may be among them more than once."""
        name_holds(self._connection, holds_named_by(events))
        self._connection.execute(_ARRIVING)
        with self._connection.cursor().copy(_COPY) as copy:
            for place, event in enumerate(events):
                copy.write_row(
                    (
                        place,
                        event.payer_id,
                        event.client_id,
                        event.event_id,
                        event.type,
                        event.visit_id,
                        event.member_id,
                        event.shard,
                        None if event.content is None else orjson.dumps(event.content).decode(),
                        event.payload_digest,
                        event.received_at,
                    )
                )
        stored = self._connection.execute(_ACCEPT).fetchall()
        accepted = frozenset(place for place, _ in stored)
        replayed: frozenset[int] = frozenset()
        if len(accepted) < len(events):
            rows = self._connection.execute(_REPLAYED, {"accepted": list(accepted)})
            replayed = frozenset(place for (place,) in rows)
        return Intake(accepted=accepted, replayed=replayed, shards=frozenset(shard for _, shard in stored))
