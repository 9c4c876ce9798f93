-- Visits that came to stand otherwise because something else than their own events changed: rules, a
-- plan, an enrollment, an override, a merge. Append-only; units that moved with it are in the ledger.
create table visit_change (
    change_no bigint generated always as identity primary key,
    payer_id text not null references payer,
    member_id text not null,
    client_id text not null,
    visit_id text not null,
    service_date date,
    disposition_before text not null,
    plan_before text,
    reasons_before jsonb not null,
    disposition_after text not null,
    plan_after text,
    reasons_after jsonb not null,
    cause_kind text not null,
    cause_id text not null,
    recorded_at timestamptz not null
);
create index visit_change_by_cause on visit_change (cause_kind, cause_id, payer_id, member_id);

alter table visit_change enable row level security;
create policy payer_wall on visit_change
    using (payer_id = any ((select needlecap_payers())::text[]) or (select needlecap_payers()) = array['*']);
grant select, insert on visit_change to needlecap_app;

-- What such a cause moved. Entries of visit events, by far the most, are not in it.
create index ledger_entry_by_cause on ledger_entry (cause_kind, cause_id, payer_id, member_id)
    where cause_kind not in ('visit.recorded', 'visit.corrected', 'visit.voided');

-- The member's standing that an answer was decided from, so that it can be decided again. Answers made
-- before this version have none.
alter table determination add column standing json;
