-- How many visit events of a payer were received, applied and rejected: the sum of all its rows. Whoever
-- accepts or finishes events adds a row in the same transaction, so that nobody waits for anybody; the
-- worker's sweep puts rows together. What is pending or dead is counted itself, so that the completeness
-- equation compares two books.
create table visit_event_count (
    payer_id text not null,
    received bigint not null default 0,
    applied bigint not null default 0,
    rejected bigint not null default 0
);

alter table visit_event_count enable row level security;
create policy payer_wall on visit_event_count
    using (payer_id = any ((select needlecap_payers())::text[]) or (select needlecap_payers()) = array['*']);
grant select, insert, delete on visit_event_count to needlecap_app;

lock table visit_event in share row exclusive mode;
insert into visit_event_count (payer_id, received, applied, rejected)
select payer_id, count(*), count(*) filter (where status = 'applied'),
       count(*) filter (where status = 'rejected')
  from visit_event group by payer_id;

-- For the status, which shows the version of the schema.
grant select on alembic_version to needlecap_app;
