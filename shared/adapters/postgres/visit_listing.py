"""Visits of a member, page by page, with the events behind each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import psycopg

from shared.domain.hold import OpeningBalance
from shared.domain.records import MemberRef
from shared.domain.visit_listing import VisitPlace, VisitRow

# The member, or the one it was merged into, with everyone who was merged into that one.
_FAMILY = """
home (member_id) as (
    select coalesce(merged_into, member_id) from member
     where payer_id = %(payer_id)s and member_id = %(member_id)s
),
family (member_id) as (
    select member_id from home
     union all
    select k.member_id from member k join home h on k.merged_into = h.member_id
     where k.payer_id = %(payer_id)s and k.merged_into is not null
)
"""

_PAGE = f"""
with {_FAMILY}
select v.service_date, coalesce(v.arrival, v.last_event), v.client_id, v.visit_id, c.name, v.content,
       v.disposition, v.plan_id, v.outcome,
       (select json_agg(json_build_array(e.event_id, e.type, e.received_at) order by e.arrival)
          from visit_event_in_full e
         where e.payer_id = v.payer_id and e.client_id = v.client_id and e.visit_id = v.visit_id
           and e.status = 'applied'),
       (select array_agg(o.override_id order by o.created_at, o.override_id)
          from override_grant o join family g on g.member_id = o.member_id
         where o.payer_id = v.payer_id and o.visit_id = v.visit_id and o.revoked_at is null),
       (select h.hold_id from hold h
         where h.hold_id = v.content ->> 'hold_id' and h.payer_id = v.payer_id and h.state = 'posted'
           and h.outcome -> 'posted_by'
               = jsonb_build_object('client_id', v.client_id, 'visit_id', v.visit_id))
  from visit_in_full v join family f on f.member_id = v.member_id join client c on c.client_id = v.client_id
 where v.payer_id = %(payer_id)s and v.service_date is not null
   and (%(start)s::date is null or v.service_date >= %(start)s)
   and (%(end)s::date is null or v.service_date < %(end)s)
   and (%(after_date)s::date is null
        or (v.service_date, coalesce(v.arrival, v.last_event), v.client_id, v.visit_id)
           > (%(after_date)s::date, %(after_arrival)s::bigint, %(after_client)s::text, %(after_visit)s::text))
 order by 1, 2, 3, 4
 limit %(limit)s
"""


class PostgresVisitListing:
    """Visits that the transaction may see."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def page(
        self, ref: MemberRef, start: date | None, end: date | None, after: VisitPlace | None, limit: int
    ) -> list[VisitRow]:
        """Visits of a member with service dates in `[start, end)`, behind `after`, at most `limit`."""
        rows = self._connection.execute(
            _PAGE,
            {
                "payer_id": ref.payer_id,
                "member_id": ref.member_id,
                "start": start,
                "end": end,
                "after_date": after.service_date if after else None,
                "after_arrival": after.arrival if after else None,
                "after_client": after.client_id if after else None,
                "after_visit": after.visit_id if after else None,
                "limit": limit,
            },
        )
        return [_row_from(row) for row in rows]

    def opening_balances(self, ref: MemberRef) -> list[OpeningBalance]:
        """Units used elsewhere before we began to count."""
        rows = self._connection.execute(
            f"""
            with {_FAMILY}
            select plan_id, limit_id, service_date, quantity, source, sequence
              from opening_balance join family using (member_id)
             where payer_id = %(payer_id)s
             order by service_date, plan_id, limit_id, source
            """,
            {"payer_id": ref.payer_id, "member_id": ref.member_id},
        )
        return [
            OpeningBalance(
                plan_id=plan_id,
                limit_id=limit_id,
                service_date=service_date,
                quantity=quantity,
                source=source,
                sequence=sequence,
            )
            for plan_id, limit_id, service_date, quantity, source, sequence in rows
        ]


def _row_from(row: Sequence[Any]) -> VisitRow:
    service_date, arrival, client_id, visit_id, name, content, disposition, plan_id, outcome, events = row[
        :10
    ]
    return VisitRow(
        place=VisitPlace(service_date=service_date, arrival=arrival, client_id=client_id, visit_id=visit_id),
        client_name=name,
        content=content,
        disposition=disposition,
        plan_id=plan_id,
        outcome=outcome,
        events=[(event_id, kind, datetime.fromisoformat(at)) for event_id, kind, at in events or ()],
        override_ids=row[10] or (),
        posted_hold_id=row[11],
    )
