-- An event's row is written twice: when it is accepted and when it is applied. The second time each of these
-- indexes gets an entry beside the first. Pages that are filled in order, as by arrival, now have room for it:
-- else each was split, while others who applied events waited for it. Pages that are there stay as they are.
alter index visit_event_pkey set (fillfactor = 50);
alter index visit_event_once set (fillfactor = 50);
alter index visit_event_by_visit set (fillfactor = 50);
