"""An office: a database with a catalog, a plan and members whose visits are to be counted."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import redis

from services.counter_worker.ports import Tools
from services.counter_worker.totals import Totals
from shared.accounting.catalog_changes import load_packaged
from shared.adapters.catalog_source import CatalogSource, packaged_parts
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.counters import RedisCounters
from shared.adapters.redis.wake_flags import RedisWakeFlags
from shared.domain.client import EVERY_PAYER
from shared.domain.inbox import NewEvent
from shared.domain.records import MemberRef
from shared.messages import shard_of
from tests.builders import NOW, PAYER
from tests.clients import add_client
from tests.counter_images import HASH_KEY

#: Makes a worker's tools on real servers, save for what is given by name.
MakeTools = Callable[..., Tools]

PARTS = packaged_parts()


def worker_tools(database: PostgresDatabase, client: redis.Redis) -> Tools:
    """A worker's tools on these servers."""
    return Tools(
        store=database,
        rules=CatalogSource(database),
        counters=RedisCounters(client, hash_key=HASH_KEY),
        flags=RedisWakeFlags(client),
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        totals=Totals(),
        batch_max=1_000,
    )


_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """One database, seen as the API that accepts events and as the operator who looks into tables."""

    url: str
    database: PostgresDatabase
    _members: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def enroll(self, count: int = 1) -> list[MemberRef]:
        """New members, enrolled since 2020 in the plan `employer`."""
        refs = [
            MemberRef(payer_id=PAYER, member_id=f"SAMPLE-QUIET-{next(self._members)}") for _ in range(count)
        ]
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            rows = [(ref.payer_id, ref.member_id) for ref in refs]
            cursor.executemany("insert into member (payer_id, member_id) values (%s, %s)", rows)
            cursor.executemany("insert into enrollment values (%s, %s, 'employer', '2020-01-01', null)", rows)
        return refs

    def accept(self, refs: Sequence[MemberRef], visits: int = 1, on: str = "2026-03-04") -> None:
        """Commit so many visits of each member on a date to the inbox, and tell nobody."""
        events = [_visit_of(ref, on) for ref in refs for _ in range(visits)]
        with self.database.transaction(EVERY_PAYER) as tx:
            tx.inbox.accept(events)
            tx.commit()

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query answers, as superuser."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Have a statement done, as superuser."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement, values)

    def used(self) -> dict[str, int]:
        """Units used per member, over all accumulators."""
        return dict(self.rows("select member_id, sum(used)::int from accumulator group by 1"))

    def pending(self) -> int:
        """How many events wait."""
        return int(self.rows("select count(*) from visit_event_waiting")[0][0])


def _visit_of(ref: MemberRef, on: str) -> NewEvent:
    number = next(_numbers)
    content = {
        "member_id": ref.member_id,
        "service_date": on,
        "lines": [{"procedure_code": "20560"}],
    }
    return NewEvent(
        payer_id=ref.payer_id,
        client_id="c",
        event_id=f"e{number}",
        type="visit.recorded",
        visit_id=f"v{number}",
        member_id=ref.member_id,
        shard=shard_of(ref.payer_id, ref.member_id),
        content=content,
        payload_digest=hashlib.sha256(str(number).encode()).digest(),
        received_at=datetime.now(UTC),
    )


def open_office(url: str) -> Office:
    """Fill an empty database with the packaged catalog, one client and one plan."""
    database = PostgresDatabase(url, connections_max=4)
    with database.transaction(EVERY_PAYER) as tx:
        load_packaged(tx.catalog, PARTS, NOW)
        tx.commit()
    office = Office(url=url, database=database)
    with psycopg.connect(url) as connection:
        add_client(connection)
    office.change(
        "insert into plan (payer_id, plan_id, name, funding, market, plan_year_start, carry_over)"
        " values (%s, 'employer', 'Employer plan', 'fully_insured', 'group', '01-01', 'none')",
        PAYER,
    )
    return office
