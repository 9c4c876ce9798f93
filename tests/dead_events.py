"""Events made dead, as too many failures do."""

from __future__ import annotations

#: Takes the event's name. Leaves one that does not wait as it is.
MAKE_DEAD = """
with gone as (
    delete from visit_event_waiting w using visit_event e
     where e.arrival = w.arrival and e.event_id = %s
    returning w.arrival, w.payer_id
)
insert into visit_event_dead (arrival, payer_id, attempts, failure, dead_since)
select arrival, payer_id, 5, 'KeyError', now() from gone
"""

#: Has applied events of which nothing else is changed called dead; takes a condition on the event `e`.
CALL_DEAD = """
with gone as (
    delete from visit_event_applied a using visit_event e
     where e.arrival = a.arrival and a.status = 'applied' and {}
    returning a.arrival, a.payer_id
)
insert into visit_event_dead (arrival, payer_id, attempts, dead_since)
select arrival, payer_id, 5, now() from gone
"""
