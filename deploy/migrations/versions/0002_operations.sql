-- What operators do, with who did it and why: merging members, deciding on possible duplicates,
-- discarding dead events, stating what was used elsewhere.

alter table visit_event
    add column discarded_at timestamptz,
    add column discarded_by text,
    add column discard_reason text,
    add constraint visit_event_discarded_is_dead check (discarded_at is null or status = 'dead'),
    add constraint visit_event_discarded_by check ((discarded_at is null) = (discarded_by is null));
create index visit_event_dead on visit_event (arrival) where status = 'dead';
create index visit_possible_duplicate on visit (arrival) where disposition = 'possible_duplicate';

-- `member.merged_into` always names a member that was merged into none, however often it was passed on.
create index member_merged on member (payer_id, merged_into) where merged_into is not null;

-- Each merge as it was made, so that a state can be asked for as of a moment before it.
create table member_merge (
    merge_id text primary key,
    payer_id text not null references payer,
    member_id text not null,
    into_member_id text not null,
    merged_at timestamptz not null,
    merged_by text not null,
    reason text not null
);
create index member_merge_by_member on member_merge (payer_id, member_id);

-- Each decision on a possible duplicate; the last one of a visit is also in the visit's row.
create table duplicate_decision (
    decision_id text primary key,
    payer_id text not null references payer,
    client_id text not null,
    visit_id text not null,
    decision text not null check (decision in ('accepted', 'rejected')),
    decided_by text not null,
    reason text not null,
    decided_at timestamptz not null
);
create index duplicate_decision_by_visit on duplicate_decision (payer_id, client_id, visit_id, decided_at);

-- Every statement of an opening balance as it came, the ones that had no effect too.
create table opening_statement (
    statement_id text primary key,
    payer_id text not null references payer,
    member_id text not null,
    plan_id text not null,
    limit_id text not null,
    service_date date not null,
    quantity integer not null check (quantity >= 0),
    source text not null,
    sequence bigint not null,
    effect text not null check (effect in ('added', 'replaced', 'ignored')),
    stated_at timestamptz not null
);
create index opening_statement_by_member on opening_statement (payer_id, member_id);

do $$
declare
    name text;
begin
    foreach name in array array['member_merge', 'duplicate_decision', 'opening_statement']
    loop
        execute format('alter table %I enable row level security', name);
        execute format(
            'create policy payer_wall on %I using (payer_id = any ((select needlecap_payers())::text[])'
            ' or (select needlecap_payers()) = array[''*''])', name);
        execute format('grant select, insert on %I to needlecap_app', name);
    end loop;
end
$$;

-- Also where a session replays changes and leaves ordinary triggers out.
alter table ledger_entry enable always trigger ledger_entry_append_only;
alter table ledger_entry enable always trigger ledger_entry_no_truncate;
