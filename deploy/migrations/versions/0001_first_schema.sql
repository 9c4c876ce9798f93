-- The first schema. Words are the contract's. Every payer-owned table has row-level security: the
-- services work as needlecap_app, which owns nothing and cannot bypass it, and say in each
-- transaction which payers it may see (setting needlecap.payers: ids separated by commas, or *).

do $$
begin
    if not exists (select from pg_roles where rolname = 'needlecap_app') then
        create role needlecap_app nologin nosuperuser nobypassrls nocreatedb nocreaterole;
    end if;
    execute format('grant needlecap_app to %I', current_user);
end
$$;

create function needlecap_payers() returns text[]
    language sql stable parallel safe
    return string_to_array(coalesce(current_setting('needlecap.payers', true), ''), ',');

-- The place of an event, a hold or the end of a hold among all that was accepted.
create sequence arrival_seq;

create table payer (
    payer_id text primary key,
    name text not null,
    version bigint not null default 1
);

create table client (
    client_id text primary key,
    name text not null unique,
    role text not null check (role in ('ehr', 'portal', 'ops', 'admin')),
    payers text[] not null,
    key_prefix text not null unique,
    key_digest bytea not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

create table plan (
    payer_id text not null references payer,
    plan_id text not null,
    version bigint not null default 1,
    name text not null,
    funding text not null,
    market text not null,
    region text,
    plan_year_start text not null,
    contract_start date,
    carry_over text not null,
    primary key (payer_id, plan_id)
);

-- One row per member we heard of. `version` rises with every change of the member's state and guards
-- the Redis counter; the row is the lock under which that state is changed. `ledger_entries` and
-- `ledger_head` are the length and last hash of the member's chain of ledger entries.
create table member (
    payer_id text not null references payer,
    member_id text not null,
    version bigint not null default 0,
    ledger_entries bigint not null default 0,
    ledger_head bytea not null default '',
    merged_into text,
    primary key (payer_id, member_id)
);

create table enrollment (
    payer_id text not null,
    member_id text not null,
    plan_id text not null,
    starts_on date not null,
    ends_on date check (ends_on > starts_on),
    attributes text[] not null default '{}',
    primary key (payer_id, member_id, starts_on),
    foreign key (payer_id, member_id) references member,
    foreign key (payer_id, plan_id) references plan
);
create index enrollment_by_plan on enrollment (payer_id, plan_id);

-- The inbox and, once applied, the record of every accepted visit event.
create table visit_event (
    arrival bigint primary key default nextval('arrival_seq'),
    payer_id text not null references payer,
    client_id text not null references client,
    event_id text not null,
    type text not null,
    visit_id text not null,
    member_id text,
    shard smallint not null,
    content jsonb,
    payload_digest bytea not null,
    received_at timestamptz not null,
    status text not null default 'pending' check (status in ('pending', 'applied', 'rejected', 'dead')),
    attempts smallint not null default 0,
    retry_at timestamptz,
    failure text,
    outcome json,
    applied_at timestamptz,
    unique (client_id, event_id),
    check ((status = 'pending') = (applied_at is null))
);
create index visit_event_pending on visit_event (shard, arrival) where status = 'pending';
create index visit_event_pending_by_member on visit_event (payer_id, member_id) where status = 'pending';
create index visit_event_by_visit on visit_event (payer_id, client_id, visit_id, arrival);

-- The state of each visit: a fold of its events, and what adjudication made of it.
create table visit (
    payer_id text not null,
    client_id text not null,
    visit_id text not null,
    member_id text,
    arrival bigint,
    received_on date,
    service_date date,
    content jsonb,
    corrected_by bigint,
    voided_by bigint,
    last_event bigint not null,
    duplicate_decision text check (duplicate_decision in ('accepted', 'rejected')),
    disposition text not null,
    plan_id text,
    outcome jsonb not null,
    revision bigint not null default 1,
    primary key (payer_id, client_id, visit_id)
);
create index visit_by_member on visit (payer_id, member_id, arrival);

create table accumulator (
    payer_id text not null,
    member_id text not null,
    plan_id text not null,
    limit_id text not null,
    basis text not null,
    period_start date not null,
    period_end date not null,
    subject text not null default '',
    in_use boolean not null,
    used integer not null check (used >= 0),
    held integer not null check (held >= 0),
    granted integer not null check (granted between 0 and used),
    opening integer not null check (opening >= 0),
    carried integer not null check (carried >= 0),
    visits integer not null check (visits >= 0),
    allowed integer not null,
    days jsonb,
    version bigint not null,
    primary key (payer_id, member_id, plan_id, limit_id, basis, period_start, period_end, subject),
    foreign key (payer_id, member_id) references member,
    constraint accumulator_never_over check (basis = 'rolling_days' or used + held <= allowed)
);

-- Append-only: postings with the cause of each. `version` counts the postings of one accumulator.
create table ledger_entry (
    payer_id text not null,
    member_id text not null,
    entry_no bigint not null,
    plan_id text not null,
    limit_id text not null,
    basis text not null,
    period_start date not null,
    period_end date not null,
    subject text not null,
    version bigint not null,
    client_id text,
    visit_id text,
    hold_id text,
    service_date date not null,
    used_delta integer not null,
    held_delta integer not null,
    used_after integer not null,
    held_after integer not null,
    allowed integer not null,
    cause_kind text not null,
    cause_id text not null,
    recorded_at timestamptz not null,
    hash bytea not null,
    primary key (payer_id, member_id, entry_no),
    constraint ledger_never_over check (basis = 'rolling_days' or used_delta + held_delta <= 0
                                        or used_after + held_after <= allowed)
);
create index ledger_entry_by_accumulator
    on ledger_entry (payer_id, member_id, plan_id, limit_id, basis, period_start, subject, version);

create function ledger_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the ledger is append-only';
end
$$;
create trigger ledger_entry_append_only before update or delete on ledger_entry
    for each row execute function ledger_is_append_only();
create trigger ledger_entry_no_truncate before truncate on ledger_entry
    for each statement execute function ledger_is_append_only();

create table hold (
    hold_id text primary key,
    payer_id text not null references payer,
    client_id text not null references client,
    idempotency_key text not null,
    payload_digest bytea not null,
    member_id text not null,
    arrival bigint not null default nextval('arrival_seq'),
    content jsonb not null,
    quantity integer not null check (quantity > 0),
    expires_at timestamptz not null,
    ended_by bigint,
    end_state text check (end_state in ('released', 'expired')),
    state text not null check (state in ('pending', 'posted', 'released', 'expired')),
    outcome jsonb not null,
    answer json not null,
    created_at timestamptz not null,
    unique (client_id, idempotency_key)
);
create index hold_by_member on hold (payer_id, member_id);
create index hold_to_expire on hold (expires_at) where state = 'pending';

create table override_grant (
    override_id text primary key,
    payer_id text not null references payer,
    client_id text not null references client,
    member_id text not null,
    limit_id text not null,
    service_date date not null,
    quantity integer not null check (quantity > 0),
    approver text not null,
    reason text not null,
    expires_on date,
    visit_id text,
    created_at timestamptz not null,
    revoked_at timestamptz
);
create index override_grant_by_member on override_grant (payer_id, member_id);

create table opening_balance (
    payer_id text not null references payer,
    member_id text not null,
    plan_id text not null,
    limit_id text not null,
    service_date date not null,
    quantity integer not null check (quantity >= 0),
    source text not null,
    sequence bigint not null,
    recorded_at timestamptz not null,
    primary key (payer_id, member_id, plan_id, limit_id, service_date, source)
);

-- Members to fold again because a plan, a rule document or a merge changed under them.
create table refold_request (
    payer_id text not null references payer,
    member_id text not null,
    shard smallint not null,
    reason text not null,
    requested_at timestamptz not null default now(),
    attempts smallint not null default 0,
    primary key (payer_id, member_id)
);
create index refold_request_by_shard on refold_request (shard, requested_at);

-- Members whose Redis counter is older than their state; written with the state, deleted once projected.
create table counter_outbox (
    payer_id text not null references payer,
    member_id text not null,
    version bigint not null,
    queued_at timestamptz not null default now(),
    primary key (payer_id, member_id)
);
create index counter_outbox_by_age on counter_outbox (queued_at);

-- Each version of each rule document, kept for ever; `payer_id` is null for one that names none or
-- several. A document is part of every catalog from `activated_in` on, and before `retired_in`.
create table rule_document (
    document_id text not null,
    version integer not null,
    payer_id text references payer,
    body json not null,
    loaded_at timestamptz not null,
    loaded_by text not null,
    activated_in bigint,
    retired_in bigint,
    primary key (document_id, version)
);

-- Code list, state scope, reasons, payers and guidance, as of the catalog that first had them.
create table catalog_reference (
    since_version bigint primary key,
    body json not null
);

-- One row: the number of the running catalog, raised with each change.
create table catalog (
    single boolean primary key default true check (single),
    version bigint not null
);
insert into catalog (version) values (0);

create table determination (
    check_id text primary key,
    payer_id text not null references payer,
    client_id text not null references client,
    decided_at timestamptz not null,
    catalog_version bigint not null,
    request json not null,
    body json not null
);

-- When each periodic job of the worker last came to its end: the sign of life that health is judged by.
create table worker_job (
    job text primary key,
    last_run_at timestamptz not null
);

-- What the workers have done, all of them together and across restarts, for status and metrics.
create table worker_total (
    name text primary key,
    total bigint not null
);

-- Row-level security.
do $$
declare
    name text;
begin
    foreach name in array array['payer', 'plan', 'member', 'enrollment', 'visit_event', 'visit', 'accumulator',
                                'ledger_entry', 'hold', 'override_grant', 'opening_balance', 'refold_request',
                                'counter_outbox', 'determination']
    loop
        execute format('alter table %I enable row level security', name);
        execute format(
            'create policy payer_wall on %I using (payer_id = any ((select needlecap_payers())::text[])'
            ' or (select needlecap_payers()) = array[''*''])', name);
    end loop;
end
$$;
alter table rule_document enable row level security;
create policy payer_wall on rule_document
    using (payer_id is null or payer_id = any ((select needlecap_payers())::text[])
           or (select needlecap_payers()) = array['*'])
    with check (payer_id = any ((select needlecap_payers())::text[]) or (select needlecap_payers()) = array['*']);

grant usage on schema public to needlecap_app;
grant usage on sequence arrival_seq to needlecap_app;
grant select, insert, update on payer, client, plan, member, visit_event, visit, accumulator, hold,
    override_grant, opening_balance, rule_document, catalog_reference, catalog to needlecap_app;
grant select, insert, update, delete on enrollment, refold_request, counter_outbox to needlecap_app;
grant select, insert on ledger_entry, determination to needlecap_app;
grant select, insert, update on worker_job, worker_total to needlecap_app;
