"""Access tokens and shown assertions are kept for as long as they count, and not longer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg

from services.counter_worker.usecases.forget_expired import forget_expired
from tests.clients import add_key
from tests.offices import MakeTools, Office


def fill(office: Office) -> None:
    """Tokens and assertions: one ended an hour ago, one a minute ago, one counts. And an ended key."""
    with psycopg.connect(office.url) as connection:
        connection.execute(
            "insert into client_jwks (jwks_id, client_id, url) values ('j', 'c', 'https://x/')"
        )
        connection.execute(
            "insert into credential (prefix, kind, client_id, digest, jwks_id, expires_at)"
            " select id, 'token', 'c', '', 'j', now() + ends"
            " from (values ('old', '-1 hour'::interval), ('late', '-1 minute'), ('new', '4 minutes'))"
            " as t (id, ends)"
        )
        connection.execute(
            "insert into used_assertion (client_id, jti_digest, expires_at)"
            " select client_id, prefix::bytea, expires_at from credential"
        )
        add_key(connection, "c", b"k" * 32)
        connection.execute("update credential set expires_at = now() - interval '1 day' where kind = 'key'")


def test_only_what_counts_no_more_is_forgotten(office: Office, make_tools: MakeTools) -> None:
    """Keys stay, however long ago they ended; so does what ended a moment ago, since clocks differ."""
    fill(office)
    assert [forget_expired(make_tools()), forget_expired(make_tools())] == [2, 0]
    kept = office.rows("select prefix from credential where kind = 'token' order by 1")
    assert kept == [("late",), ("new",)]
    assert office.rows("select count(*) from credential where kind = 'key'") == [(1,)]
    assert office.rows("select convert_from(jti_digest, 'utf8') from used_assertion order by 1") == kept


def test_two_workers_forget_at_once_without_harm(office: Office, make_tools: MakeTools) -> None:
    """Whoever comes second finds nothing left, or leaves it to the first."""
    fill(office)
    with ThreadPoolExecutor(2) as pool:
        forgotten = list(pool.map(forget_expired, [make_tools(), make_tools()]))
    assert sorted(forgotten) == [0, 2]
