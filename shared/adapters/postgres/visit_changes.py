"""Visits that something else than an event changed: what each was before, and what it is to be now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from shared.domain.records import MemberRef, SavedVisit

#: Holds visits that are about to be saved against their rows, and notes those that stand otherwise.
RECORD = """
insert into visit_change (payer_id, member_id, client_id, visit_id, service_date,
                          disposition_before, plan_before, reasons_before,
                          disposition_after, plan_after, reasons_after,
                          cause_kind, cause_id, recorded_at)
select n.payer_id, n.member_id, n.client_id, n.visit_id, v.service_date,
       v.disposition, v.plan_id, jsonb_path_query_array(v.outcome, '$.reasons[*].code'),
       n.disposition, n.plan_id, n.reasons::jsonb, n.cause_kind, n.cause_id, clock_timestamp()
  from unnest(%(payers)b::text[], %(members)b::text[], %(clients)b::text[], %(visits)b::text[],
              %(dispositions)b::text[], %(plans)b::text[], %(reasons)b::text[], %(kinds)b::text[],
              %(ids)b::text[])
       as n (payer_id, member_id, client_id, visit_id, disposition, plan_id, reasons, cause_kind, cause_id)
  join visit_in_full v on (v.payer_id, v.client_id, v.visit_id) = (n.payer_id, n.client_id, n.visit_id)
 where (v.disposition, v.plan_id, jsonb_path_query_array(v.outcome, '$.reasons[*].code'))
       is distinct from (n.disposition, n.plan_id, n.reasons::jsonb)
"""


def values(rows: Sequence[tuple[MemberRef, SavedVisit]]) -> dict[str, list[Any]]:
    """What `RECORD` takes. Every visit has a cause."""
    keys = [saved.visit.key for _, saved in rows]
    causes = [saved.cause for _, saved in rows if saved.cause is not None]
    return {
        "payers": [ref.payer_id for ref, _ in rows],
        "members": [ref.member_id for ref, _ in rows],
        "clients": [key.client_id for key in keys],
        "visits": [key.visit_id for key in keys],
        "dispositions": [saved.outcome.disposition for _, saved in rows],
        "plans": [saved.outcome.plan_id for _, saved in rows],
        "reasons": [_reasons(saved) for _, saved in rows],
        "kinds": [cause.kind for cause in causes],
        "ids": [cause.id for cause in causes],
    }


def _reasons(saved: SavedVisit) -> str:
    return orjson.dumps([reason.code for reason in saved.outcome.reasons]).decode()
