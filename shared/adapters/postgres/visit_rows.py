"""Visits as rows: columns, the statement that saves many at once, and the values it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from shared.accounting.codec import content_from, visit_outcome_to
from shared.adapters.postgres.alike import written_once
from shared.adapters.postgres.arrays import Bigints, Dates, Integers, Texts, packed
from shared.adapters.postgres.trips import Errand, Statement
from shared.domain.history import VisitOutcome
from shared.domain.records import MemberRef, PlainVisit, SavedVisit, StoredVisit
from shared.domain.visit import Visit, VisitKey

#: Of the view `visit_in_full`, with the alias `v`.
COLUMNS = """v.payer_id, v.client_id, v.visit_id, v.member_id, v.arrival, v.received_on, v.content,
    v.corrected_by, v.voided_by, v.last_event, v.duplicate_decision, v.disposition, v.plan_id, v.outcome,
    v.revision"""

#: The constraint that is violated when a visit has a row that had none when it was looked for.
KEY = "visit_pkey"

# What visits of a payer came to is looked for by its hash, and added where it is not found.
_INSERT = """
with given as materialized (
    select payer_id, outcome::jsonb as outcome, place
      from unnest(%(owners)b::text[], %(outcomes)b::text[]) with ordinality as o (payer_id, outcome, place)
), found as materialized (
    select g.place, g.payer_id, g.outcome, jsonb_hash_extended(g.outcome, 0) as hash, there.outcome_no
      from given g
      left join lateral (select o.outcome_no from visit_outcome o
                          where o.hash = jsonb_hash_extended(g.outcome, 0) and o.payer_id = g.payer_id
                            and o.outcome = g.outcome limit 1) there on true
), became as materialized (
    select place, payer_id, outcome, hash, coalesce(outcome_no, nextval('visit_outcome_seq')) as outcome_no,
           outcome_no is null as is_new
      from found
), added as (
    insert into visit_outcome (hash, outcome_no, payer_id, outcome)
    select hash, outcome_no, payer_id, outcome from became where is_new
)
insert into visit as v (payer_id, client_id, visit_id, member_id, arrival, received_on, service_date,
                        corrected_by, voided_by, last_event, duplicate_decision, disposition, plan_id,
                        outcome_hash, outcome_no, revision)
select n.payer_id, n.client_id, n.visit_id, n.member_id, n.arrival, n.received_on, n.service_date,
       n.corrected_by, n.voided_by, n.last_event, n.duplicate_decision, n.disposition, n.plan_id,
       o.hash, o.outcome_no, n.revision + 1
  from (select unnest(%(payers)b::text[]) as payer_id, unnest(%(clients)b::text[]) as client_id,
               unnest(%(visits)b::text[]) as visit_id, unnest(%(members)b::text[]) as member_id,
               unnest(%(arrivals)b::bigint[]) as arrival, unnest(%(received)b::date[]) as received_on,
               unnest(%(dates)b::date[]) as service_date, unnest(%(corrected)b::bigint[]) as corrected_by,
               unnest(%(voided)b::bigint[]) as voided_by, unnest(%(last)b::bigint[]) as last_event,
               unnest(%(decisions)b::text[]) as duplicate_decision,
               unnest(%(dispositions)b::text[]) as disposition, unnest(%(plans)b::text[]) as plan_id,
               unnest(%(places)b::integer[]) as place, unnest(%(revisions)b::bigint[]) as revision) n
  join became o using (place)
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
       service_date = excluded.service_date, corrected_by = excluded.corrected_by,
       voided_by = excluded.voided_by, last_event = excluded.last_event,
       duplicate_decision = excluded.duplicate_decision, disposition = excluded.disposition,
       plan_id = excluded.plan_id, outcome_hash = excluded.outcome_hash, outcome_no = excluded.outcome_no,
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


def saving_plain(rows: Sequence[tuple[MemberRef, PlainVisit]]) -> Errand:
    """Writes plain visits, which are new. One that has a row by now is a violation of the table's key."""
    visits = [visit for _, visit in rows]
    events = [visit.event for visit in visits]
    none, first = [None] * len(rows), [0] * len(rows)
    places, owners, outcomes = _written((ref.payer_id, visit.outcome) for ref, visit in rows)
    arrivals = Bigints([event.arrival for event in events])
    clients, ids = zip(*(event.key for event in events), strict=True)
    return _SAVE_NEW.errand(
        {
            "payers": Texts([ref.payer_id for ref, _ in rows]),
            "clients": Texts(clients),
            "visits": Texts(ids),
            "members": Texts([ref.member_id for ref, _ in rows]),
            "arrivals": packed(arrivals),
            "received": Dates([event.received_on for event in events]),
            "dates": Dates([visit.service_date for visit in visits]),
            "corrected": Bigints(none),
            "voided": Bigints(none),
            "last": packed(arrivals),
            "revisions": Bigints(first),
            "decisions": Texts(none),
            "dispositions": Texts([visit.outcome.disposition for visit in visits]),
            "plans": Texts([visit.outcome.plan_id for visit in visits]),
            "places": places,
            "owners": owners,
            "outcomes": outcomes,
        }
    )


def saving(rows: Sequence[tuple[MemberRef, SavedVisit]]) -> list[Errand]:
    """Writes visits whose row is as it was read (`revision`), and counts only those.

    A visit that was new when it was read and has a row by now is a violation of the table's key.
    """
    new = [row for row in rows if row[1].revision == 0]
    others = [row for row in rows if row[1].revision != 0]
    return [_saving(statement, some) for statement, some in ((_SAVE_NEW, new), (_SAVE, others)) if some]


def _saving(statement: Statement, rows: Sequence[tuple[MemberRef, SavedVisit]]) -> Errand:
    visits = [saved.visit for _, saved in rows]
    places, owners, outcomes = _written((ref.payer_id, saved.outcome) for ref, saved in rows)
    dates = [visit.content.service.service_date if visit.content else None for visit in visits]
    given = {
        "payers": Texts([ref.payer_id for ref, _ in rows]),
        "clients": Texts([visit.key.client_id for visit in visits]),
        "visits": Texts([visit.key.visit_id for visit in visits]),
        "members": Texts([visit.member_id for visit in visits]),
        "arrivals": Bigints([visit.arrival for visit in visits]),
        "received": Dates([visit.received_on for visit in visits]),
        "dates": Dates(dates),
        "corrected": Bigints([visit.corrected_by for visit in visits]),
        "voided": Bigints([visit.voided_by for visit in visits]),
        "last": Bigints([saved.last_event for _, saved in rows]),
        "revisions": Bigints([saved.revision for _, saved in rows]),
        "decisions": Texts([visit.duplicate_decision for visit in visits]),
        "dispositions": Texts([saved.outcome.disposition for _, saved in rows]),
        "plans": Texts([saved.outcome.plan_id for _, saved in rows]),
        "places": places,
        "owners": owners,
        "outcomes": outcomes,
    }
    return statement.errand(given)


def _written(outcomes: Iterable[tuple[str, VisitOutcome]]) -> tuple[Integers, Texts, Texts]:
    return written_once(outcomes, lambda outcome: orjson.dumps(visit_outcome_to(outcome)))
