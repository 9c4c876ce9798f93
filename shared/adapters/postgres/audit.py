"""The audit trail: written with what it tells of, read for a member, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from shared.adapters.postgres.arrays import Blobs, Instants, Integers, Smallints, Texts
from shared.adapters.postgres.trips import Statement, Trips
from shared.domain.audit import AuditEntry, TrailLine, TrailPlace
from shared.domain.errors import StoreUnavailable
from shared.domain.records import MemberRef

_INSERT = Statement(
    "audit",
    """
insert into audit_entry (called_at, client_id, credential, call, request_id, purpose, payer_id, member_hash,
                         status, problem, items)
select * from unnest(%(times)b::timestamptz[], %(clients)b::text[], %(credentials)b::text[],
                     %(calls)b::text[], %(requests)b::text[], %(purposes)b::text[], %(payers)b::text[],
                     %(members)b::bytea[], %(statuses)b::smallint[], %(problems)b::text[],
                     %(items)b::integer[])
""",
)

#: Calls and visit events of a member in one list. An event is the member's if its visit is now, or moved
#: units of the member before; a single event is also among the calls, by the member that it named itself.
_TRAIL = """
with calls as (
    select a.called_at as at, 'call' as kind, a.audit_no as number, a.client_id, a.call, a.credential,
           a.purpose, a.status, a.problem, a.request_id, null as event_id, null as visit_id
      from audit_entry a
     where a.payer_id = %(payer)s and a.member_hash = any (%(hashes)s::bytea[])
       and (%(start)s::timestamptz is null or a.called_at >= %(start)s)
       and (%(end)s::timestamptz is null or a.called_at < %(end)s)
), visits as (
    select client_id, visit_id from visit where payer_id = %(payer)s and member_id = any (%(members)s)
    union
    select client_id, visit_id from ledger_entry
     where payer_id = %(payer)s and member_id = any (%(members)s) and visit_id is not null
), events as (
    select e.received_at as at, 'visit_event' as kind, e.arrival as number, e.client_id, e.type as call,
           null as credential, null as purpose, null::smallint as status, null as problem,
           null as request_id, e.event_id, e.visit_id
      from visits v
      join visit_event e on e.payer_id = %(payer)s and e.client_id = v.client_id and e.visit_id = v.visit_id
     where (%(start)s::timestamptz is null or e.received_at >= %(start)s)
       and (%(end)s::timestamptz is null or e.received_at < %(end)s)
)
select t.at, t.kind, t.number, coalesce(c.name, t.client_id), t.call, t.credential, t.purpose, t.status,
       t.problem, t.request_id, t.event_id, t.visit_id
  from (select * from calls union all select * from events) t
  left join client c on c.client_id = t.client_id
 where (%(after_at)s::timestamptz is null
        or (t.at, t.kind, t.number) > (%(after_at)s, %(after_kind)s, %(after_number)s))
 order by t.at, t.kind, t.number
 limit %(limit)s
"""


class PostgresAudit:
    """The trail in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction, which commits by way of `trips`."""
        self._connection = connection
        self._trips = trips

    def record(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries with the commit.

        That raises StoreUnavailable if they cannot be, whyever: then nothing may be answered.
        """
        if not entries:
            return
        errand = _INSERT.errand(
            {
                "times": Instants(e.called_at for e in entries),
                "clients": Texts(e.client_id for e in entries),
                "credentials": Texts(e.credential for e in entries),
                "calls": Texts(e.call for e in entries),
                "requests": Texts(e.request_id for e in entries),
                "purposes": Texts(e.purpose for e in entries),
                "payers": Texts(e.payer_id for e in entries),
                "members": Blobs(e.member_hash for e in entries),
                "statuses": Smallints(e.status for e in entries),
                "problems": Texts(e.problem for e in entries),
                "items": Integers(e.items for e in entries),
            }
        )
        self._trips.tell(errand, failing=lambda _: StoreUnavailable())

    def ids_of(self, ref: MemberRef) -> list[str]:
        """Every id under which the payer knows this person: the member's own, and those merged with it."""
        rows = self._connection.execute(
            """
            with target as (
                select coalesce(merged_into, member_id) as id from member
                 where payer_id = %(payer)s and member_id = %(member)s
            )
            select m.member_id from member m join target t on m.member_id = t.id or m.merged_into = t.id
             where m.payer_id = %(payer)s
            """,
            {"payer": ref.payer_id, "member": ref.member_id},
        ).fetchall()
        return sorted({ref.member_id, *(member_id for (member_id,) in rows)})

    def trail(
        self,
        payer_id: str,
        members: Sequence[tuple[str, bytes]],
        start: datetime | None,
        end: datetime | None,
        after: TrailPlace | None,
        limit: int,
    ) -> list[TrailLine]:
        """What was called for, and sent about, a person in `[start, end)`, behind `after`, at most `limit`.

        `members` are the person's ids with the hash of each.
        """
        rows = self._connection.execute(
            _TRAIL,
            {
                "payer": payer_id,
                "members": [member_id for member_id, _ in members],
                "hashes": [hashed for _, hashed in members],
                "start": start,
                "end": end,
                "after_at": after.at if after else None,
                "after_kind": after.kind if after else None,
                "after_number": after.number if after else None,
                "limit": limit,
            },
        )
        return [
            TrailLine(
                place=TrailPlace(at=row[0], kind=row[1], number=row[2]),
                client=row[3],
                call=row[4],
                credential=row[5],
                purpose=row[6],
                status=row[7],
                problem=row[8],
                request_id=row[9],
                event_id=row[10],
                visit_id=row[11],
            )
            for row in rows
        ]

    def prune(self) -> int:
        """Delete some of the entries that are older than they are kept; how many, 0 when none is left."""
        row = self._connection.execute("select prune_audit_entries()").fetchone()
        return int(row[0]) if row else 0
