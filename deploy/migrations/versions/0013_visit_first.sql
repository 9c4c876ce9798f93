-- The same key, what differs first: a visit's place in the index is found by comparing one column, not the
-- payer and the client of all visits.
alter table visit
    drop constraint visit_pkey,
    add primary key (visit_id, payer_id, client_id);
