"""Visits as rows: columns, the statement that saves many at once, and the values it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from shared.accounting.codec import content_from, visit_outcome_to
from shared.adapters.postgres.alike import written_once
from shared.adapters.postgres.arrays import Bigints, Dates, Texts
from shared.adapters.postgres.trips import Errand, Statement
from shared.domain.records import MemberRef, SavedVisit, StoredVisit
from shared.domain.visit import Visit, VisitKey

COLUMNS = """v.payer_id, v.client_id, v.visit_id, v.member_id, v.arrival, v.received_on, v.content,
    v.corrected_by, v.voided_by, v.last_event, v.duplicate_decision, v.disposition, v.plan_id, v.outcome,
    v.revision"""

#: The constraint that is violated when a visit has a row that had none when it was looked for.
KEY = "visit_pkey"

# The content is that of the event that gave it.
_INSERT = """
with became as materialized (
    select place, outcome::jsonb as outcome
      from unnest(%(outcomes)b::text[]) with ordinality as o (outcome, place)
)
insert into visit as v (payer_id, client_id, visit_id, member_id, arrival, received_on, service_date, content,
                        corrected_by, voided_by, last_event, duplicate_decision, disposition, plan_id,
                        outcome, revision)
select n.payer_id, n.client_id, n.visit_id, n.member_id, n.arrival, n.received_on, n.service_date, e.content,
       n.corrected_by, n.voided_by, n.last_event, n.duplicate_decision, n.disposition, n.plan_id,
       o.outcome, n.revision + 1
  from unnest(%(payers)b::text[], %(clients)b::text[], %(visits)b::text[], %(members)b::text[],
              %(arrivals)b::bigint[], %(received)b::date[], %(dates)b::date[], %(content_of)b::bigint[],
              %(corrected)b::bigint[], %(voided)b::bigint[], %(last)b::bigint[], %(decisions)b::text[],
              %(dispositions)b::text[], %(plans)b::text[], %(places)b::integer[], %(revisions)b::bigint[])
       as n (payer_id, client_id, visit_id, member_id, arrival, received_on, service_date, content_of,
             corrected_by, voided_by, last_event, duplicate_decision, disposition, plan_id, place, revision)
  join became o using (place)
  left join visit_event e on e.arrival = n.content_of
"""

# Of visits that are new, as most are. With `on conflict` each key would be looked up twice, and each row
# marked twice: as one that may have to go, and as one that stays.
_SAVE_NEW = Statement("insert_visits", _INSERT)

_SAVE = Statement(
    "save_visits",
    f"""
{_INSERT}
on conflict (payer_id, client_id, visit_id) do update
   set member_id = excluded.member_id, arrival = excluded.arrival, received_on = excluded.received_on,
       service_date = excluded.service_date, content = excluded.content,
       corrected_by = excluded.corrected_by, voided_by = excluded.voided_by,
       last_event = excluded.last_event, duplicate_decision = excluded.duplicate_decision,
       disposition = excluded.disposition, plan_id = excluded.plan_id, outcome = excluded.outcome,
       revision = excluded.revision
 where v.revision = excluded.revision - 1
""",
)


def visit_from(row: Sequence[Any]) -> tuple[str, str | None, StoredVisit]:
    """Payer, member and stored visit of a row with `COLUMNS`, in that order."""
    (payer, client, visit_id, member, arrival, received_on, content, corrected_by, voided_by, last_event) = (
        row[:10]
    )
    decision, disposition, plan_id, outcome, revision = row[10:15]
    visit = Visit(
        key=VisitKey(client_id=client, visit_id=visit_id),
        arrival=arrival,
        received_on=received_on,
        content=content_from(content) if content is not None else None,
        corrected_by=corrected_by,
        voided_by=voided_by,
        duplicate_decision=decision,
    )
    stored = StoredVisit(
        visit=visit,
        last_event=last_event,
        disposition=disposition,
        plan_id=plan_id,
        outcome=outcome,
        revision=revision,
    )
    return payer, member, stored


def saving(rows: Sequence[tuple[MemberRef, SavedVisit]]) -> list[Errand]:
    """Writes visits whose row is as it was read (`revision`), and counts only those.

    A visit that was new when it was read and has a row by now is a violation of the table's key.
    """
    new = [row for row in rows if row[1].revision == 0]
    others = [row for row in rows if row[1].revision != 0]
    return [_saving(statement, some) for statement, some in ((_SAVE_NEW, new), (_SAVE, others)) if some]


def _saving(statement: Statement, rows: Sequence[tuple[MemberRef, SavedVisit]]) -> Errand:
    visits = [saved.visit for _, saved in rows]
    places, outcomes = written_once(
        (saved.outcome for _, saved in rows), lambda outcome: orjson.dumps(visit_outcome_to(outcome))
    )
    dates = [visit.content.service.service_date if visit.content else None for visit in visits]
    given = {
        "payers": Texts([ref.payer_id for ref, _ in rows]),
        "clients": Texts([visit.key.client_id for visit in visits]),
        "visits": Texts([visit.key.visit_id for visit in visits]),
        "members": Texts([visit.member_id for visit in visits]),
        "arrivals": Bigints([visit.arrival for visit in visits]),
        "received": Dates([visit.received_on for visit in visits]),
        "dates": Dates(dates),
        "content_of": Bigints([visit.corrected_by or visit.arrival for visit in visits]),
        "corrected": Bigints([visit.corrected_by for visit in visits]),
        "voided": Bigints([visit.voided_by for visit in visits]),
        "last": Bigints([saved.last_event for _, saved in rows]),
        "revisions": Bigints([saved.revision for _, saved in rows]),
        "decisions": Texts([visit.duplicate_decision for visit in visits]),
        "dispositions": Texts([saved.outcome.disposition for _, saved in rows]),
        "plans": Texts([saved.outcome.plan_id for _, saved in rows]),
        "places": places,
        "outcomes": outcomes,
    }
    return statement.errand(given)
