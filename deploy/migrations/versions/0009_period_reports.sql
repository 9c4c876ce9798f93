-- What benefit periods that are over came to, summed over a payer's members. The first report closes a
-- period, a later one amends it; none is ever changed.
create table period_report (
    payer_id text not null references payer,
    plan_id text not null,
    limit_id text not null,
    basis text not null,
    period_end date not null,
    report_no integer not null check (report_no > 0),
    reported_at timestamptz not null,
    members bigint not null,
    used bigint not null,
    held bigint not null,
    members_full bigint not null,
    entries bigint not null,
    primary key (payer_id, plan_id, limit_id, basis, period_end, report_no)
);

alter table period_report enable row level security;
create policy payer_wall on period_report
    using (payer_id = any ((select needlecap_payers())::text[]) or (select needlecap_payers()) = array['*']);
grant select, insert on period_report to needlecap_app;
