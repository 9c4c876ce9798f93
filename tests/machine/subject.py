"""The service in this process, on real servers: the use cases of API, worker and operator, and its clock."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg
import redis

from services.counter_worker.ports import Tools as WorkerTools
from services.counter_worker.totals import Totals
from services.coverage_api.auditing import CallAudit
from services.coverage_api.key_uses import KeyUses
from services.coverage_api.known_keys import KnownKeys
from services.coverage_api.ports import Tools as ApiTools
from services.coverage_api.usecases.incoming import VisitReport
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.adapters.redis.wake_flags import RedisWakeFlags
from shared.domain.client import Client
from shared.domain.records import MemberRef
from tests.builders import NOW
from tests.clients import add_client
from tests.counter_images import HASH_KEY
from tests.machine.breakage import CrashingStore, FaultyCounters
from tests.machine.told import EventName, Row, Told
from tests.model.memory import json_of
from tests.rules import SimpleRules

CLIENTS = ("c", "d")
#: Redis is away when an example says so, not when the machine is slow.
REDIS_ANSWER_SECONDS = 30
_PLAN_COLUMNS = ("funding", "market", "plan_year_start", "carry_over")


class RunningRules:
    """Rules that change while the service runs; which of them run, the database says."""

    def __init__(self) -> None:
        """No catalog is known yet."""
        self._known: dict[int, SimpleRules] = {}

    def current(self, tx: Any) -> Any:
        """The rules of the catalog that this transaction sees as running."""
        return self._known[tx.catalog.version()]

    def will_run(self, version: int, settings: Row) -> None:
        """What is to run once the catalog has this version."""
        self._known[version] = SimpleRules(settings)


class Unheard:
    """Wake-ups that nobody hears: a test drains when it wants to."""

    def wake(self, shards: Iterable[int]) -> None:
        """Say nothing."""


class Subject:
    """One service for many examples, each of which is a payer of its own."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        """Put the parts together as the services do; two clients may call."""
        self.now = NOW
        self.database = PostgresDatabase(database_url, connections_max=2)
        self.store = CrashingStore(self.database, lambda: self.now)
        self.redis: redis.Redis = connect(f"{redis_url}?socket_timeout={REDIS_ANSWER_SECONDS}")
        self.counters = FaultyCounters(RedisCounters(self.redis, hash_key=HASH_KEY))
        self.rules = RunningRules()
        self._numbers = itertools.count(1)
        self._looking = psycopg.connect(database_url, autocommit=True)
        store: Any = self.store
        self.api = ApiTools(
            store=store,
            keys=KnownKeys(KeyUses(store)),
            rules=self.rules,
            counters=self.counters,
            wakeups=Unheard(),
            clock=self.clock,
            new_id=self.new_id,
            monotonic=time.monotonic,
            pause=lambda _seconds: None,
        )
        self.worker = WorkerTools(
            store=store,
            rules=self.rules,
            counters=self.counters,
            flags=RedisWakeFlags(self.redis),
            clock=self.clock,
            # However slow the machine is, no turn is over before its work is done.
            monotonic=lambda: 0.0,
            totals=Totals(),
            batch_max=1_000,
        )
        for client in CLIENTS:
            add_client(self._looking, client)

    def close(self) -> None:
        """Give up what was opened."""
        self.database.close()
        self.redis.close()
        self._looking.close()

    def clock(self) -> datetime:
        """The time, which only a test lets pass."""
        return self.now

    def new_id(self, word: str) -> str:
        """A new id that begins with a word and sorts by when it was made."""
        return f"{word}_{next(self._numbers):09}"

    def pass_time(self, span: timedelta = timedelta(seconds=1)) -> None:
        """Let some time pass."""
        self.now += span

    def call(self, payer: str, client: str = "c") -> CallAudit:
        """A call about a payer, of a client that sees all."""
        audit = CallAudit(
            client=Client(client_id=client, name=client, role="ehr", payers=("*",)),
            call="test",
            request_id="test",
            hash_key=HASH_KEY,
            clock=self.clock,
        )
        audit.concerns(payer)
        return audit

    def settle_in(self, told: Told) -> str:
        """Store a new payer with the plans, members and enrollments that are told; its id."""
        payer = self.new_id("payer")
        with self._looking.transaction(), self._looking.cursor() as cursor:
            cursor.execute("insert into payer (payer_id, name) values (%s, 'Plan')", [payer])
            cursor.executemany(
                f"insert into plan (payer_id, plan_id, name, {', '.join(_PLAN_COLUMNS)})"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (payer, plan_id, plan_id, *(plan[name] for name in _PLAN_COLUMNS))
                    for plan_id, plan in told.plans.items()
                ],
            )
            cursor.executemany(
                "insert into member (payer_id, member_id) values (%s, %s)",
                [(payer, member) for member in told.members],
            )
            cursor.executemany(
                "insert into enrollment (payer_id, member_id, plan_id, starts_on, ends_on)"
                " values (%s, %s, %s, %s, %s)",
                [
                    (payer, member, span["plan"], span["start"], span["end"])
                    for member in told.members
                    for span in told.spans[member]
                ],
            )
        return payer

    def change_rules(self, settings: Row, payers: Sequence[str]) -> None:
        """Let other rules run, and have these payers' members folded again, as loading a document does."""
        with self.store.transaction(("*",)) as tx:
            version = tx.catalog.lock_for_change(payers) + 1
            self.rules.will_run(version, settings)
            tx.catalog.raise_version(version)
            tx.catalog.request_refolds(payers, f"catalog-{version}")
            tx.commit()

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query answers, as superuser."""
        return self._looking.execute(query, values).fetchall()


def report_of(subject: Subject, payer: str, name: EventName, row: Row) -> VisitReport:
    """A visit event as its client sends it."""
    content = json_of(row["content"]) if row["content"] is not None else None
    said = [payer, *name, row["type"], row["visit_id"], content]
    return VisitReport(
        client_id=name[0],
        payer_id=payer,
        event_id=name[1],
        type=row["type"],
        visit_id=row["visit_id"],
        content=content,
        payload_digest=hashlib.sha256(orjson.dumps(said)).digest(),
        audit=subject.call(payer, name[0]),
    )


def ref_of(payer: str, member: str) -> MemberRef:
    """A member of a payer."""
    return MemberRef(payer_id=payer, member_id=member)
