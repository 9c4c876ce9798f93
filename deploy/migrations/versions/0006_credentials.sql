-- How often a client may call; null for the default.
alter table client add column requests_per_second integer check (requests_per_second between 1 and 1000000);

-- The public keys of clients that prove who they are with a signature (OAuth 2.0, private_key_jwt):
-- a JWK Set itself, or the address where the client keeps it.
create table client_jwks (
    jwks_id text primary key,
    client_id text not null references client on delete cascade,
    document jsonb,
    url text,
    created_at timestamptz not null default now(),
    last_used_at timestamptz,
    revoked_at timestamptz,
    check ((document is null) <> (url is null))
);
create index client_jwks_by_client on client_jwks (client_id);

-- What is shown to get in: a key, for as long as an operator says, or an access token, for minutes.
-- `payers` are those that a token was asked for; null for all that its client has.
create table credential (
    prefix text primary key,
    kind text not null check (kind in ('key', 'token')),
    client_id text not null references client on delete cascade,
    digest bytea not null,
    jwks_id text references client_jwks on delete cascade,
    payers text[],
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    check ((kind = 'token') = (jwks_id is not null)),
    check (kind = 'key' or expires_at is not null)
);
create index credential_by_client on credential (client_id);
create index credential_tokens_by_end on credential (expires_at) where kind = 'token';

insert into credential (prefix, kind, client_id, digest, created_at, expires_at)
select key_prefix, 'key', client_id, key_digest, created_at, expires_at from client;
alter table client drop column key_prefix, drop column key_digest, drop column expires_at;

-- Assertions that were shown, until they would be refused anyway: none is taken twice (RFC 7523).
create table used_assertion (
    client_id text not null references client on delete cascade,
    jti_digest bytea not null,
    expires_at timestamptz not null,
    primary key (client_id, jti_digest)
);
create index used_assertion_by_end on used_assertion (expires_at);

-- The services may issue tokens and forget them, but neither make a key nor open what was closed.
alter table credential enable row level security;
create policy credential_read on credential for select using (true);
create policy credential_issue on credential for insert with check (kind = 'token');
create policy credential_use on credential for update using (true);
create policy credential_forget on credential for delete using (kind = 'token' and expires_at < now());
revoke insert, update on client from needlecap_app;
grant select, insert, delete on credential to needlecap_app;
grant update (last_used_at) on credential to needlecap_app;
grant select on client_jwks to needlecap_app;
grant update (last_used_at) on client_jwks to needlecap_app;
grant select, insert, delete on used_assertion to needlecap_app;
