"""Possible duplicates, and what operators decided about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from shared.domain.operator_records import NewDecision, PossibleDuplicate
from shared.domain.records import MemberRef
from shared.domain.visit import VisitKey

# What a visit may repeat: the same (date, code, NPI) in an earlier visit of the same member, or of one
# that was merged into the same.
_PAGE = """
select v.arrival, v.payer_id, v.member_id, c.name, v.client_id, v.visit_id,
       (select array_agg(o.visit_id order by o.arrival)
          from visit_in_full o
          left join member k on k.payer_id = o.payer_id and k.member_id = o.member_id
         where o.payer_id = v.payer_id and o.service_date = v.service_date and o.arrival < v.arrival
           and coalesce(k.merged_into, o.member_id) = coalesce(h.merged_into, v.member_id)
           and o.member_id in (
                select v.member_id union all select coalesce(h.merged_into, v.member_id)
                 union all
                select a.member_id from member a
                 where a.payer_id = v.payer_id and a.merged_into = coalesce(h.merged_into, v.member_id))
           and o.voided_by is null
           and o.content #>> '{provider,npi}' = v.content #>> '{provider,npi}'
           and exists (
                select from json_array_elements(o.content -> 'lines') x (line)
                  join json_array_elements(v.content -> 'lines') y (line)
                    on x.line ->> 'procedure_code' = y.line ->> 'procedure_code'))
  from visit_in_full v
  join client c on c.client_id = v.client_id
  left join member h on h.payer_id = v.payer_id and h.member_id = v.member_id
 where v.disposition = 'possible_duplicate' and v.arrival > %(arrival)s
   and (%(payer)s::text is null or v.payer_id = %(payer)s)
 order by v.arrival limit %(limit)s
"""


class PostgresDuplicates:
    """Possible duplicates in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def count(self, payer_id: str | None) -> int:
        """How many wait for a decision, of one payer or of all."""
        row = self._connection.execute(
            """
            select count(*) from visit v
             where v.disposition = 'possible_duplicate'
               and (%(payer)s::text is null or v.payer_id = %(payer)s)
            """,
            {"payer": payer_id},
        ).fetchone()
        return int(row[0]) if row else 0

    def after(self, payer_id: str | None, arrival: int, limit: int) -> list[PossibleDuplicate]:
        """The next ones behind an arrival, the oldest first."""
        rows = self._connection.execute(_PAGE, {"payer": payer_id, "arrival": arrival, "limit": limit})
        return [
            PossibleDuplicate(
                arrival=number,
                ref=MemberRef(payer_id=payer, member_id=member),
                client_name=name,
                visit=VisitKey(client_id=client, visit_id=visit),
                repeats=tuple(repeats or ()),
            )
            for number, payer, member, name, client, visit, repeats in rows
        ]

    def named(self, arrivals: Sequence[int]) -> dict[int, tuple[str, VisitKey]]:
        """The visits that were recorded by the events of these numbers; unknown ones are absent."""
        rows = self._connection.execute(
            """
            select e.arrival, e.payer_id, e.client_id, e.visit_id from visit_event_in_full e
             where e.arrival = any (%s) and e.type = 'visit.recorded' and e.status = 'applied'
            """,
            [list(arrivals)],
        )
        return {
            number: (payer, VisitKey(client_id=client, visit_id=visit))
            for number, payer, client, visit in rows
        }

    def record(self, decision: NewDecision, now: datetime) -> None:
        """Keep a decision, beside those before it."""
        self._connection.execute(
            """
            insert into duplicate_decision (decision_id, payer_id, client_id, visit_id, decision, decided_by,
                                            reason, decided_at)
            values (%(id)s, %(payer)s, %(client)s, %(visit)s, %(decision)s, %(by)s, %(reason)s, %(now)s)
            """,
            {
                "id": decision.decision_id,
                "payer": decision.payer_id,
                "client": decision.visit.client_id,
                "visit": decision.visit.visit_id,
                "decision": decision.decision,
                "by": decision.decided_by,
                "reason": decision.reason,
                "now": now,
            },
        )
