"""Draining the inbox on a real Postgres: once, in order, never over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from shared.accounting.drain import CORRECTIONS_MAX, DrainReport, drain_shards
from shared.accounting.rules import CatalogRules
from shared.adapters.catalog_files import load_catalog
from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import ConcurrentChange
from shared.domain.history import VisitOutcome
from shared.domain.inbox import ApplyResult, NewEvent
from shared.domain.qualification import VISIT_NOT_KNOWN
from shared.domain.records import SavedVisit
from shared.domain.visit import Visit, VisitKey
from shared.messages import shard_of
from tests.builders import MEMBER, NOW, PAYER
from tests.clients import add_client
from tests.fakes import FixedRules

SHARD = shard_of(PAYER, MEMBER)


@pytest.fixture
def database(database_url: str) -> Iterator[PostgresDatabase]:
    """A database with one payer, one plan, one enrolled member and one client."""
    with psycopg.connect(database_url) as connection:
        connection.execute("insert into payer (payer_id, name) values (%s, 'Plan')", [PAYER])
        add_client(connection)
        connection.execute(
            "insert into plan (payer_id, plan_id, name, funding, market, plan_year_start, carry_over)"
            " values (%s, 'employer', 'Employer', 'fully_insured', 'group', '01-01', 'none')",
            [PAYER],
        )
        connection.execute("insert into member (payer_id, member_id) values (%s, %s)", [PAYER, MEMBER])
        connection.execute(
            "insert into enrollment values (%s, %s, 'employer', '2020-01-01', null)", [PAYER, MEMBER]
        )
    database = PostgresDatabase(database_url, connections_max=4)
    yield database
    database.close()


def event(number: int, on: str = "2026-03-04", kind: str = "visit.recorded", **changes: Any) -> NewEvent:
    """A visit event of the sample member, `v<number>` unless told otherwise."""
    content = {"member_id": MEMBER, "service_date": on, "lines": [{"procedure_code": "20560"}]}
    fields: dict[str, Any] = {
        "payer_id": PAYER,
        "client_id": "c",
        "event_id": f"e{number}",
        "type": kind,
        "visit_id": f"v{number}",
        "member_id": MEMBER,
        "shard": SHARD,
        "content": content,
        "payload_digest": hashlib.sha256(b"x").digest(),
        "received_at": NOW,
    }
    if kind == "visit.voided":
        fields |= {"content": None, "member_id": None}
    return NewEvent(**{**fields, **changes})


def accept(database: PostgresDatabase, *events: NewEvent) -> None:
    """Commit events to the inbox."""
    with database.transaction(EVERY_PAYER) as tx:
        tx.inbox.accept(events)
        tx.commit()


def drain(database: PostgresDatabase, batch_max: int = 1000) -> DrainReport:
    """Drain the sample member's shard once."""
    rules = FixedRules(CatalogRules(load_catalog()))
    return drain_shards(database, rules, lambda: datetime(2026, 3, 5, tzinfo=UTC), [SHARD], batch_max)


def rows(url: str, query: str) -> list[Any]:
    """What a query answers, as superuser."""
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_twenty_first_visit_is_over_the_limit(database: PostgresDatabase, database_url: str) -> None:
    """Twenty-one visits in one batch: twenty counted, one over."""
    accept(database, *(event(n) for n in range(1, 22)))
    report = drain(database)
    assert report.applied == 21
    assert rows(database_url, "select used, held, allowed, version from accumulator") == [(20, 0, 20, 20)]
    assert rows(database_url, "select visit_id from visit where disposition = 'over_limit'") == [("v21",)]
    outcomes = rows(database_url, "select outcome from visit_event_in_full order by arrival")
    assert [o["accumulators"][0]["used_after"] for (o,) in outcomes] == [*range(1, 21), 20]


def test_a_batch_has_a_thousand_corrections_and_voids_at_most(database: PostgresDatabase) -> None:
    """Corrections and voids beyond are left for the next batch, with all that came after them."""
    voids = [event(n, kind="visit.voided") for n in range(CORRECTIONS_MAX + 1)]
    accept(database, *voids, event(len(voids)))
    first, second = drain(database, 2 * CORRECTIONS_MAX), drain(database, 2 * CORRECTIONS_MAX)
    assert (first.applied, first.more) == (CORRECTIONS_MAX, True)
    assert (second.applied, second.more) == (2, False)


def test_void_frees_the_unit_for_the_next_in_order(database: PostgresDatabase, database_url: str) -> None:
    """A void of the third visit counts the twenty-first; the ledger's entries add up, without gaps."""
    accept(database, *(event(n) for n in range(1, 22)))
    drain(database)
    accept(database, event(30, kind="visit.voided", visit_id="v3"))
    drain(database)
    assert rows(database_url, "select used from accumulator") == [(20,)]
    assert rows(database_url, "select disposition from visit where visit_id = 'v21'") == [("counted",)]
    entries = rows(database_url, "select version, used_delta, used_after from ledger_entry order by entry_no")
    assert [version for version, _, _ in entries] == list(range(1, 23))
    assert sum(delta for _, delta, _ in entries) == 20


def test_an_event_that_was_seen_late_takes_nothing_back(
    database: PostgresDatabase, database_url: str
) -> None:
    """Numbered first but committed second, a visit comes after one that was counted and told so meanwhile."""
    accept(database, *(event(n) for n in range(1, 20)))
    with database.transaction(EVERY_PAYER) as tx:
        tx.inbox.accept([event(20), event(20, "2026-03-05", "visit.corrected", event_id="e20c")])
        accept(database, event(21))
        drain(database)
        tx.commit()
    drain(database)
    told = "select event_id, outcome->>'disposition' from visit_event_in_full order by arrival"
    late = [("e20", "over_limit"), ("e20c", "over_limit")]
    assert rows(database_url, told)[-3:] == [("e21", "counted"), *late]
    assert rows(database_url, "select visit_id from visit where disposition = 'over_limit'") == [("v20",)]
    assert rows(database_url, "select used, version from accumulator") == [(20, 20)]


def test_an_event_that_failed_keeps_its_place(database: PostgresDatabase, database_url: str) -> None:
    """A dead one that is tried again after later ones were counted takes the unit that was its own."""
    accept(database, *(event(n) for n in range(1, 22)))
    [(arrival,)] = rows(database_url, "select arrival from visit_event where event_id = 'e5'")
    with database.transaction(EVERY_PAYER) as tx:
        tx.inbox.fail(arrival, "KeyError", NOW, 1)
        tx.commit()
    drain(database)
    assert rows(database_url, "select visit_id from visit where disposition = 'over_limit'") == []
    with database.transaction(EVERY_PAYER) as tx:
        assert tx.dead_letters.retry([arrival]) == [arrival]
        tx.commit()
    drain(database)
    assert rows(database_url, "select visit_id from visit where disposition = 'over_limit'") == [("v21",)]


def test_an_event_that_fails_holds_up_no_other(database: PostgresDatabase, database_url: str) -> None:
    """What came with it is applied in the same turn, also what follows another event of its visit."""
    void = event(3, kind="visit.voided", event_id="e3v")
    accept(database, event(1), event(2), event(2, "2026-03-05", "visit.corrected", event_id="e2c"))
    accept(database, event(3), void)
    with psycopg.connect(database_url) as connection:
        connection.execute("update visit_event set content = content::jsonb - 'lines' where event_id = 'e1'")
    assert (report := drain(database)).applied == 4
    assert report.failed == 1
    told = "select event_id, failure, outcome->>'disposition' from visit_event_in_full order by arrival"
    assert rows(database_url, told) == [
        ("e1", "KeyError", None),
        ("e2", None, "counted"),
        ("e2c", None, "counted"),
        ("e3", None, "counted"),
        ("e3v", None, "voided"),
    ]


@pytest.mark.parametrize("table", ["visit_event_waiting", "visit_event_applied"])
def test_an_event_is_applied_once_whoever_comes_second(
    database: PostgresDatabase, database_url: str, table: str
) -> None:
    """Neither one that does not wait any more, nor one that seems to wait and was applied."""
    accept(database, event(1))
    again = "insert into visit_event_waiting select * from was"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create temporary table was as select * from visit_event_waiting")
        drain(database)
        [(arrival,)] = connection.execute("select arrival from was").fetchall()
        connection.execute(again if table == "visit_event_applied" else "delete from visit_event_applied")
    second = ApplyResult(arrival=arrival, shard=SHARD, payer_id=PAYER, status="applied", outcome={})
    with pytest.raises(ConcurrentChange), database.transaction(EVERY_PAYER) as tx:
        tx.inbox.finish([second], NOW)
    assert rows(database_url, "select used from accumulator") == [(1,)]


def test_visits_of_two_years_count_in_their_own(database: PostgresDatabase, database_url: str) -> None:
    """December 31 and January 1 fall in two plan years."""
    accept(database, event(1, "2026-12-31"), event(2, "2027-01-01"))
    drain(database)
    found = rows(database_url, "select period_start, used from accumulator order by 1")
    assert found == [(date(2026, 1, 1), 1), (date(2027, 1, 1), 1)]


def test_void_before_its_visit_is_applied_and_takes_effect_later(
    database: PostgresDatabase, database_url: str
) -> None:
    """A void of a visit nobody knows is applied as visit_not_known; the visit, once recorded, is voided."""
    accept(database, event(1, kind="visit.voided", visit_id="v9"))
    drain_all(database)
    accept(database, event(2, visit_id="v9"))
    drain_all(database)
    told = "select status, outcome->>'disposition' from visit_event_in_full order by arrival"
    outcomes = rows(database_url, told)
    assert outcomes == [("applied", "not_countable"), ("applied", "voided")]
    assert rows(database_url, "select disposition from visit") == [("voided",)]
    assert rows(database_url, "select coalesce(sum(used), 0) from accumulator") == [(0,)]


def drain_all(database: PostgresDatabase) -> None:
    """Drain every shard until nothing is pending."""
    rules = FixedRules(CatalogRules(load_catalog()))
    for shard in range(64):
        while drain_shards(database, rules, lambda: datetime(2026, 3, 5, tzinfo=UTC), [shard], 100).applied:
            pass


def test_visit_that_somebody_else_made_meanwhile_is_a_concurrent_change(database: PostgresDatabase) -> None:
    """A visit that had no row when it was looked for is not written over."""
    outcome = VisitOutcome(disposition="not_countable", reasons=(VISIT_NOT_KNOWN,))
    visit = Visit(key=VisitKey(client_id="c", visit_id="v1"))
    saved = SavedVisit(visit=visit, last_event=1, outcome=outcome, revision=0)
    with database.transaction(EVERY_PAYER) as tx:
        tx.books.save_unattributed(PAYER, [saved])
        tx.commit()
    with database.transaction(EVERY_PAYER) as tx, pytest.raises(ConcurrentChange):
        tx.books.save_unattributed(PAYER, [replace(saved, last_event=2)])
