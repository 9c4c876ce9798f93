-- An applied event was a new version of its whole row, with an entry in each of its indexes: what marking it cost
-- was copying what had been sent. Now a row of visit_event is what was sent, and stays as it is, but that an
-- event that waits may get another arrival. Each is in one of three narrow tables besides: it waits, it was
-- applied (or rejected), or it is dead.
lock table visit_event in access exclusive mode;
drop index visit_event_dead;

create table visit_event_waiting (
    shard smallint not null,
    arrival bigint not null,
    payer_id text not null,
    member_id text,
    received_at timestamptz not null,
    attempts smallint not null default 0,
    retry_at timestamptz,
    failure text,
    primary key (shard, arrival)
);
insert into visit_event_waiting (shard, arrival, payer_id, member_id, received_at, attempts, retry_at, failure)
select shard, arrival, payer_id, member_id, received_at, attempts, retry_at, failure
  from visit_event where status = 'pending' order by arrival;
-- A stream's members come in no order, so each of its events has an entry somewhere else. The entry of a hash is
-- found, and written, with less; other payers' members of the same name are few.
create index visit_event_waiting_by_member on visit_event_waiting using hash (member_id);

create table visit_event_dead (
    arrival bigint primary key,
    payer_id text not null,
    attempts smallint not null,
    failure text,
    dead_since timestamptz not null,
    discarded_at timestamptz,
    discarded_by text,
    discard_reason text,
    check ((discarded_at is null) = (discarded_by is null))
);
insert into visit_event_dead (arrival, payer_id, attempts, failure, dead_since, discarded_at, discarded_by,
                              discard_reason)
select arrival, payer_id, attempts, failure, applied_at, discarded_at, discarded_by, discard_reason
  from visit_event where status = 'dead';

-- What receipts tell of a batch's events, each once for all of a payer's events that came to the same.
create sequence visit_event_outcome_seq;
create table visit_event_outcome (
    outcome_no bigint primary key,
    payer_id text not null,
    outcome json not null
);
insert into visit_event_outcome (outcome_no, payer_id, outcome)
select nextval('visit_event_outcome_seq'), payer_id, outcome::json
  from (select distinct payer_id, outcome::text as outcome from visit_event
         where status in ('applied', 'rejected') and outcome is not null) told;

-- Its rows are added and never changed: nobody can apply an event a second time. No key refers to the events
-- or the outcomes, since each would be looked up, and locked, for each event of a batch.
create table visit_event_applied (
    arrival bigint primary key,
    payer_id text not null,
    status text not null check (status in ('applied', 'rejected')),
    applied_at timestamptz not null,
    outcome_no bigint
);
create temporary table told on commit drop as
select hashtextextended(outcome::text, 0) as hash, payer_id, outcome::text as outcome, outcome_no
  from visit_event_outcome;
analyze told;
insert into visit_event_applied (arrival, payer_id, status, applied_at, outcome_no)
select e.arrival, e.payer_id, e.status, e.applied_at, t.outcome_no
  from visit_event e
  left join told t on t.hash = hashtextextended(e.outcome::text, 0) and t.payer_id = e.payer_id
                  and t.outcome = e.outcome::text
 where e.status in ('applied', 'rejected')
 order by e.arrival;
drop table told;

alter table visit_event
    drop column status,
    drop column attempts,
    drop column retry_at,
    drop column failure,
    drop column outcome,
    drop column applied_at,
    drop column discarded_at,
    drop column discarded_by,
    drop column discard_reason;

do $$
declare
    name text;
begin
    foreach name in array array['visit_event_waiting', 'visit_event_dead', 'visit_event_outcome',
                                'visit_event_applied']
    loop
        execute format('alter table %I enable row level security', name);
        execute format(
            'create policy payer_wall on %I using ((select needlecap_payers() = array[''*''])'
            ' or payer_id = any ((select needlecap_payers())::text[]))', name);
        execute format('grant select, insert on %I to needlecap_app', name);
    end loop;
end
$$;
grant update, delete on visit_event_waiting, visit_event_dead to needlecap_app;
grant usage on sequence visit_event_outcome_seq to needlecap_app;

-- Events with what became of them. Each part is looked up for the row, and only if it is asked for.
create view visit_event_in_full with (security_invoker = true) as
select e.*,
       coalesce((select a.status from visit_event_applied a where a.arrival = e.arrival),
                (select 'pending' from visit_event_waiting w where w.shard = e.shard and w.arrival = e.arrival),
                (select 'dead' from visit_event_dead d where d.arrival = e.arrival)) as status,
       (select a.applied_at from visit_event_applied a where a.arrival = e.arrival) as applied_at,
       (select o.outcome from visit_event_applied a join visit_event_outcome o on o.outcome_no = a.outcome_no
         where a.arrival = e.arrival) as outcome,
       coalesce((select w.failure from visit_event_waiting w where w.shard = e.shard and w.arrival = e.arrival),
                (select d.failure from visit_event_dead d where d.arrival = e.arrival)) as failure
  from visit_event e;
grant select on visit_event_in_full to needlecap_app;

-- Each row has one entry in each index now, and needs no room beside it.
alter index visit_event_pkey reset (fillfactor);
alter index visit_event_once reset (fillfactor);
alter index visit_event_by_visit reset (fillfactor);
