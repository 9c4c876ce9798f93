"""The inbox for streams: a client's events come in column by column, a part of a stream at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter

from psycopg.errors import UniqueViolation

from shared.adapters.postgres.arrays import Blobs, Instants, Integers, Jsons, Smallints, Texts
from shared.adapters.postgres.hold_locks import name_holds
from shared.adapters.postgres.inbox_rows import (
    ONCE,
    STORED_AND_COUNTED,
    STORED_NEW_AND_COUNTED,
    insertion_order,
)
from shared.adapters.postgres.trips import Connection, Row, Statement, Trip
from shared.domain.intake import Intake, NotAllNew, StreamedEvent
from shared.ports import InTurn

_TAKE_IN = """
with given as (
    select unnest(%(payers)b::text[]) as payer_id, unnest(%(events)b::text[]) as event_id,
           unnest(%(types)b::text[]) as type, unnest(%(visits)b::text[]) as visit_id,
           unnest(%(members)b::text[]) as member_id, unnest(%(shards)b::smallint[]) as shard,
           unnest(%(contents)b::json[]) as content, unnest(%(digests)b::bytea[]) as payload_digest,
           unnest(%(places)b::integer[]) as place,
           (%(clients)b::text[])[1] as client_id, (%(received)b::timestamptz[])[1] as received_at
), {stored}
select coalesce(sum(n), 0)::bigint, array_agg(shard)
  from (select shard, count(*) as n from stored group by shard) one
"""

_ACCEPT = Statement("take_in", _TAKE_IN.format(stored=STORED_AND_COUNTED))
_ACCEPT_NEW = Statement("take_in_new", _TAKE_IN.format(stored=STORED_NEW_AND_COUNTED))

_THERE = """
select event_id, payload_digest from visit_event
 where client_id = %(client)s and event_id = any (%(events)b::text[])
"""


def _nothing() -> None:
    """There is nothing to do yet."""


class PostgresBulkInbox:
    """Events by the thousand in one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def take_in(
        self,
        client_id: str,
        events: Sequence[StreamedEvent],
        destinations: Sequence[tuple[int, str | None]],
        received_at: datetime,
        in_turn: InTurn,
        *,
        all_new: bool = False,
    ) -> Intake:
        """Store a client's events that are not there yet, in order.

        It is `in_turn` that has them stored. An event may be among them more than once. `destinations` has
        for each the shard that it goes to, unless an earlier event of its visit lies in another, and the
        member that it is about, if known.
        If they are said to be `all_new`, which is quicker, and are not, it raises NotAllNew: the
        transaction can do nothing more.
        """
        order = insertion_order([event.event_id for event in events])
        in_order = itemgetter(*order) if len(order) > 1 else tuple
        payers, names, types, visits, _, holds, contents, digests = zip(*in_order(events), strict=True)
        shards, members = zip(*in_order(destinations), strict=True)
        # Packed before the turn comes, for then Postgres waits.
        statement = _ACCEPT_NEW if all_new else _ACCEPT
        errand = statement.errand(
            {
                "clients": Texts([client_id]),
                "received": Instants([received_at]),
                "payers": Texts(payers),
                "events": Texts(names),
                "types": Texts(types),
                "visits": Texts(visits),
                "members": Texts(members),
                "shards": Smallints(shards),
                "contents": Jsons(contents),
                "digests": Blobs(digests),
                "places": Integers(number + 1 for number in order),
            }
        ).packed()
        trip = Trip(self._connection, errand)
        if any(holds):
            in_turn(_nothing)
            name_holds(self._connection, filter(None, holds))
            trip.set_out()
        else:
            in_turn(trip.set_out)
        accepted, with_work = self._stored(trip)
        conflicts = self._conflicts(client_id, events) if accepted < len(events) else frozenset()
        return Intake(
            accepted=accepted,
            replayed=len(events) - accepted - len(conflicts),
            conflicts=conflicts,
            shards=frozenset(with_work or ()),
        )

    def _stored(self, trip: Trip) -> Row:
        """How many events were stored, and in which shards. Raises NotAllNew."""
        try:
            [found] = trip.rows()
        except UniqueViolation as error:
            if error.diag.constraint_name != ONCE:
                raise
            raise NotAllNew from error
        return found

    def _conflicts(self, client_id: str, events: Sequence[StreamedEvent]) -> frozenset[int]:
        """The places of the events whose payload is not that of the event of their name.

        Asked anew, to see what others committed meanwhile. One that this
        transaction may not see is of another payer.
        """
        there: dict[str, bytes] = dict(
            self._connection.execute(
                _THERE, {"client": client_id, "events": Texts({event.event_id for event in events})}
            ).fetchall()
        )
        return frozenset(
            place for place, event in enumerate(events) if there.get(event.event_id) != event.payload_digest
        )
