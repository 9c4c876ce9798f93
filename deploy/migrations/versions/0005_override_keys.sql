-- What a client named its request for an override, if it named it, and what that request said. A repeat
-- answers with the override that is there; a client's key is its own, whatever the payer.
alter table override_grant
    add column idempotency_key text,
    add column payload_digest bytea,
    add constraint override_grant_key_with_digest check ((idempotency_key is null) = (payload_digest is null)),
    add constraint override_grant_client_id_idempotency_key_key unique (client_id, idempotency_key);
