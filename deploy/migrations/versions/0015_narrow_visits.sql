-- A visit's row kept a copy of the content of an event, and of what became of it, which is the same for most
-- visits of a batch: two thirds of all that an applied event wrote. Now the row names both.

-- What became of visits, each once for all of one payer's visits that came to the same. Rows are added and
-- never changed. `hash` is that of the document, to find it by; two that do not see each other may both add
-- it, so it is named by `outcome_no` too. There is one index on purpose: planned while the table is empty,
-- no other could be taken for it.
create table visit_outcome (
    hash bigint not null,
    outcome_no bigint not null,
    payer_id text not null,
    outcome jsonb not null,
    primary key (hash, outcome_no)
);
create sequence visit_outcome_seq;
alter table visit_outcome enable row level security;
create policy payer_wall on visit_outcome
    using ((select needlecap_payers() = array['*']) or payer_id = any ((select needlecap_payers())::text[]));
grant select, insert on visit_outcome to needlecap_app;
grant usage on sequence visit_outcome_seq to needlecap_app;

lock table visit in share row exclusive mode;
insert into visit_outcome (hash, outcome_no, payer_id, outcome)
select jsonb_hash_extended(outcome, 0), nextval('visit_outcome_seq'), payer_id, outcome
  from (select distinct payer_id, outcome from visit) told;

-- `content_of` is the arrival of the event whose content the visit has. `outcome_hash` and `outcome_no` name
-- what became of it; nothing holds the two tables together, since that would lock the same few rows for each
-- visit that is written.
alter table visit
    add column outcome_hash bigint,
    add column outcome_no bigint,
    add column content_of bigint generated always as (coalesce(corrected_by, arrival)) stored;
update visit v set outcome_hash = o.hash, outcome_no = o.outcome_no
  from visit_outcome o
 where o.hash = jsonb_hash_extended(v.outcome, 0) and o.payer_id = v.payer_id and o.outcome = v.outcome;
alter table visit
    alter column outcome_hash set not null,
    alter column outcome_no set not null,
    drop column content,
    drop column outcome;

-- Visits with both. Each is looked up for the row, and only if it is asked for.
create view visit_in_full with (security_invoker = true) as
select v.*,
       (select said.content from visit_event said where said.arrival = v.content_of) as content,
       (select came.outcome from visit_outcome came
         where came.hash = v.outcome_hash and came.outcome_no = v.outcome_no) as outcome
  from visit v;
grant select on visit_in_full to needlecap_app;

-- Nobody looks for contents by what is in them, and to know how they are spread tens of thousands of them
-- were sorted each time a table was analysed.
alter table visit_event alter column content set statistics 0;

-- Rows that are changed again and again stay on their page, without new entries in the indexes.
alter table member set (fillfactor = 80);
alter table accumulator set (fillfactor = 80);
