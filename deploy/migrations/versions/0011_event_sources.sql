-- That an event's payer and client exist was looked up for each event, twice, and each look-up locked a
-- row: a quarter of what taking in a stream costs. Now a statement that adds events notes whose they are,
-- unless it sees that noted, and what is noted refers to both. So nobody of whom there are events can be
-- deleted, as before. The same may be noted twice, by two that did not see each other: none waits.
create table visit_event_source (
    payer_id text not null references payer,
    client_id text not null references client
);
create index visit_event_source_by_names on visit_event_source (payer_id, client_id);
alter table visit_event_source enable row level security;
create policy payer_wall on visit_event_source
    using (payer_id = any ((select needlecap_payers())::text[]) or (select needlecap_payers()) = array['*']);
grant select on visit_event_source to needlecap_app;

lock table visit_event in share row exclusive mode;
insert into visit_event_source (payer_id, client_id) select distinct payer_id, client_id from visit_event;

-- As the owner: the services cannot make notes, or take them away.
create function note_visit_event_sources() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public
as $$
begin
    insert into public.visit_event_source (payer_id, client_id)
    select a.payer_id, a.client_id from (select distinct payer_id, client_id from added) a
     where not exists (select from public.visit_event_source s
                        where s.payer_id = a.payer_id and s.client_id = a.client_id);
    return null;
end
$$;
create trigger visit_event_sources after insert on visit_event
    referencing new table as added for each statement execute function note_visit_event_sources();

-- Nobody names another payer or client in an event that is there.
create function visit_event_keeps_its_source() returns trigger language plpgsql as $$
begin
    raise exception 'the payer and the client of a visit event do not change';
end
$$;
create trigger visit_event_source_kept before update of payer_id, client_id on visit_event
    for each row when ((old.payer_id, old.client_id) is distinct from (new.payer_id, new.client_id))
    execute function visit_event_keeps_its_source();
alter table visit_event
    drop constraint visit_event_payer_id_fkey,
    drop constraint visit_event_client_id_fkey;

-- The same keys, what differs first: an event's place in an index is found by comparing one column, not
-- the payer and the client of all events before it.
drop index visit_event_by_visit;
create index visit_event_by_visit on visit_event (visit_id, payer_id, client_id, arrival);
alter table visit_event
    drop constraint visit_event_client_id_event_id_key,
    add constraint visit_event_once unique (event_id, client_id);
