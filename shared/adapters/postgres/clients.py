"""Clients, and what is kept of their keys, access tokens and signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg

from shared.adapters.postgres.arrays import Instants, Texts
from shared.adapters.postgres.trips import Errand, Statement, Trips
from shared.domain.client import (
    REQUESTS_PER_SECOND,
    USES_NOTED_EVERY,
    Client,
    CredentialRecord,
    NewToken,
    RegisteredKeys,
    narrowed,
)

#: Deleted in one statement, so that none takes long.
FORGOTTEN_MAX = 10_000

_FIND = Statement(
    "credentials",
    """
select c.prefix, c.kind, c.digest, c.expires_at, least(c.revoked_at, k.revoked_at, j.revoked_at),
       c.last_used_at, c.payers, k.client_id, k.name, k.role, k.payers, k.requests_per_second
  from credential c
  join client k on k.client_id = c.client_id
  left join client_jwks j on j.jwks_id = c.jwks_id
 where c.prefix = any (%(prefixes)b::text[])
""",
)


def finding(prefixes: Sequence[str]) -> Errand:
    """What `PostgresClients.find` asks."""
    return _FIND.errand({"prefixes": Texts(prefixes)})


class PostgresClients:
    """Calling systems, found by what they show."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction, whose questions go by `trips`."""
        self._connection = connection
        self._trips = trips

    def find(self, prefixes: Sequence[str]) -> dict[str, CredentialRecord]:
        """The keys and tokens that begin with these prefixes, by prefix; unknown ones are absent."""
        return {row[0]: _record(row) for row in self._trips.ask(finding(prefixes))}

    def id_of(self, name: str) -> str | None:
        """The id of the client with this name, or None."""
        row = self._connection.execute(
            "select client_id from client where name = %(name)s", {"name": name}
        ).fetchone()
        return str(row[0]) if row else None

    def signing(self, client_id: str) -> tuple[Client, list[RegisteredKeys]] | None:
        """A client that was not revoked, and the public keys it registered; None if there is none."""
        rows = self._connection.execute(
            """
            select k.client_id, k.name, k.role, k.payers, k.requests_per_second,
                   j.jwks_id, j.document::text, j.url
              from client k
              left join client_jwks j on j.client_id = k.client_id and j.revoked_at is null
             where k.client_id = %(client_id)s and k.revoked_at is null
             order by j.created_at, j.jwks_id
            """,
            {"client_id": client_id},
        ).fetchall()
        if not rows:
            return None
        registered = [
            RegisteredKeys(jwks_id=jwks_id, document=document, url=url)
            for *_, jwks_id, document, url in rows
            if jwks_id is not None
        ]
        return _client(*rows[0][:5]), registered

    def use_assertion(self, client_id: str, jti_digest: bytes, expires_at: datetime) -> bool:
        """Remember that a client showed this assertion; False if it did before."""
        written = self._connection.execute(
            """
            insert into used_assertion (client_id, jti_digest, expires_at)
            values (%(client_id)s, %(jti_digest)s, %(expires_at)s) on conflict do nothing
            """,
            {"client_id": client_id, "jti_digest": jti_digest, "expires_at": expires_at},
        )
        return written.rowcount == 1

    def issue(self, token: NewToken) -> None:
        """Store a token, and that what it was issued on was used."""
        self._connection.execute(
            """
            insert into credential (prefix, kind, client_id, digest, jwks_id, payers, created_at, expires_at)
            values (%(prefix)s, 'token', %(client_id)s, %(digest)s, %(jwks_id)s, %(payers)s, %(issued_at)s,
                    %(expires_at)s)
            """,
            {
                "prefix": token.prefix,
                "client_id": token.client_id,
                "digest": token.digest,
                "jwks_id": token.jwks_id,
                "payers": None if token.payers is None else list(token.payers),
                "issued_at": token.issued_at,
                "expires_at": token.expires_at,
            },
        )
        self._connection.execute(
            "update client_jwks set last_used_at = %(at)s where jwks_id = %(jwks_id)s",
            {"at": token.issued_at, "jwks_id": token.jwks_id},
        )

    def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Note when the keys of these prefixes were used, unless that was noted a moment before.

        What somebody else is changing now is passed over: it is noted with a later use.
        """
        self._connection.execute(
            """
            with used as (
                select c.prefix, u.at
                  from unnest(%(prefixes)b::text[], %(times)b::timestamptz[]) as u (prefix, at)
                  join credential c on c.prefix = u.prefix
                 where c.last_used_at is null or c.last_used_at <= u.at - %(noted_every)s::interval
                   for no key update of c skip locked
            )
            update credential c set last_used_at = used.at from used where c.prefix = used.prefix
            """,
            {"prefixes": Texts(uses), "times": Instants(uses.values()), "noted_every": USES_NOTED_EVERY},
        )

    def forget_expired(self, before: datetime) -> int:
        """Delete tokens and shown assertions that ended before a moment; how many those were.

        Deletes a bounded number at once: the rest is for the next time.
        """
        bound = {"before": before, "most": FORGOTTEN_MAX}
        tokens = self._connection.execute(
            """
            delete from credential where prefix in (
                select prefix from credential where kind = 'token' and expires_at < %(before)s
                 order by expires_at limit %(most)s)
            """,
            bound,
        )
        assertions = self._connection.execute(
            """
            delete from used_assertion where (client_id, jti_digest) in (
                select client_id, jti_digest from used_assertion where expires_at < %(before)s
                 order by expires_at limit %(most)s)
            """,
            bound,
        )
        return tokens.rowcount + assertions.rowcount


def _client(
    client_id: str, name: str, role: Any, payers: Sequence[str], rate: int | None, credential: str = ""
) -> Client:
    return Client(
        client_id=client_id,
        name=name,
        role=role,
        payers=tuple(payers),
        requests_per_second=REQUESTS_PER_SECOND if rate is None else rate,
        credential=credential,
    )


def _record(row: Sequence[Any]) -> CredentialRecord:
    prefix, kind, digest, expires_at, revoked_at, last_used_at, asked, *of_client = row
    client_id, name, role, granted, rate = of_client
    payers = narrowed(tuple(granted), None if asked is None else tuple(asked))
    return CredentialRecord(
        client=_client(client_id, name, role, payers, rate, prefix),
        prefix=prefix,
        kind=kind,
        digest=bytes(digest),
        expires_at=expires_at,
        revoked_at=revoked_at,
        last_used_at=last_used_at,
    )
