-- The audit trail: a row for each call of a known client, or for the items of one call that came to the
-- same. A member is in it as a keyed hash alone. Nobody changes a row, and nobody deletes one that is
-- younger than `audit_retention` says; the services may add rows and read those of their payers.
create table audit_entry (
    audit_no bigint generated always as identity primary key,
    called_at timestamptz not null,
    client_id text not null,
    credential text not null,
    call text not null,
    request_id text not null,
    purpose text not null,
    payer_id text,
    member_hash bytea,
    status smallint not null,
    problem text,
    items integer not null check (items > 0)
);
create index audit_entry_by_member on audit_entry (payer_id, member_hash, called_at)
    where member_hash is not null;

-- A row without a payer is written by whoever sees any payer, and read by those who see all.
alter table audit_entry enable row level security;
create policy payer_wall on audit_entry
    using (payer_id = any ((select needlecap_payers())::text[]) or (select needlecap_payers()) = array['*'])
    with check (payer_id = any ((select needlecap_payers())::text[])
                or (select needlecap_payers()) = array['*']
                or (payer_id is null and cardinality((select needlecap_payers())::text[]) > 0));
grant select, insert on audit_entry to needlecap_app;

-- One row, the owner's: for how many days entries are kept. `needlecap migrate` writes it.
create table audit_retention (
    single boolean primary key default true check (single),
    days integer not null check (days > 0)
);
insert into audit_retention (days) values (2192);
grant select on audit_retention to needlecap_app;

create function audit_keeps_until() returns timestamptz
    language sql stable
    return (select now() - make_interval(days => days) from audit_retention);

create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and old.called_at < audit_keeps_until() then
        return old;
    end if;
    raise exception 'the audit trail is append-only';
end
$$;
create trigger audit_entry_append_only before update or delete on audit_entry
    for each row execute function audit_is_append_only();
create trigger audit_entry_no_truncate before truncate on audit_entry
    for each statement execute function audit_is_append_only();
alter table audit_entry enable always trigger audit_entry_append_only;
alter table audit_entry enable always trigger audit_entry_no_truncate;

-- Delete the oldest entries that need no longer be kept, ten thousand at most; how many that were. As the
-- owner, since the services may not delete; what they may have deleted is the owner's to say.
create function prune_audit_entries() returns bigint
    language sql security definer set search_path = pg_catalog, public
as $$
    with oldest as (
        select audit_no, called_at from public.audit_entry order by audit_no limit 10000
    ), gone as (
        delete from public.audit_entry a using oldest o
         where a.audit_no = o.audit_no and o.called_at < public.audit_keeps_until()
        returning 1
    )
    select count(*) from gone
$$;
revoke all on function prune_audit_entries() from public;
grant execute on function prune_audit_entries() to needlecap_app;
