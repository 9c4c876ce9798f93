"""One installation that every case of the crash matrix shares: each case has members of its own."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg
from celery import Celery

from services.counter_worker.ports import Tools
from services.counter_worker.totals import Totals
from services.counter_worker.usecases.sweep import sweep
from services.operator_cli.runner import ports
from shared.accounting.reconcile_counters import compare_counters
from shared.accounting.verify_ledger import faults_in
from shared.adapters.catalog_source import CatalogSource
from shared.adapters.celery_broker import configure_broker
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.adapters.redis.wake_flags import RedisWakeFlags
from shared.domain.client import EVERY_PAYER
from shared.domain.records import MemberRef
from tests.api_service import HASH_KEY, Installation
from tests.builders import PAYER
from tests.chaos.audit import incomplete
from tests.crashes.processes import Servers
from tests.state_bytes import rebuilt_state, stored_state

Json = dict[str, Any]

PATIENCE_SECONDS = 10.0
PLAN = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call as a client makes it, and makes it again when nothing came back."""

    method: str
    path: str
    body: Any = None
    role: str = "ehr"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: Any


class Site:
    """Servers, keys, an API that stays up, and everything that is looked at in the end."""

    def __init__(self, servers: Servers, installation: Installation, data_dir: Path, port: int) -> None:
        """`port` is that of the API that stays up."""
        self.servers = servers
        self.installation = installation
        self.data_dir = data_dir
        self.port = port
        self.redis = connect(servers.redis_url)
        self.database = PostgresDatabase(servers.database_url, connections_max=4)
        self.rules = CatalogSource(self.database)
        self.counters = RedisCounters(self.redis, hash_key=HASH_KEY)
        self._broker = Celery("crashes", set_as_current=False)
        configure_broker(self._broker, servers.environment().broker_url)

    def close(self) -> None:
        """Give everything up."""
        self.database.close()
        self.redis.close()
        self._broker.close()

    # What clients and operators do

    def send(self, request: Request, port: int | None = None) -> Answer | None:
        """Make a call, of the API that stays up or of another; None if it died meanwhile."""
        content = request.body
        kind = "application/x-ndjson" if isinstance(content, bytes) else "application/json"
        if content is not None and not isinstance(content, bytes):
            content = orjson.dumps(content)
        key = self.installation.key(request.role)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": kind, **request.headers}
        connection = http.client.HTTPConnection(ports.LOOPBACK, port or self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(request.method, request.path, content, headers)
            response = connection.getresponse()
            return Answer(status=response.status, body=orjson.loads(response.read()))
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def ask(self, request: Request) -> Any:
        """The body of an answer that has to be the right one."""
        answer = self.send(request)
        assert answer is not None
        assert answer.status == request.status, answer.body
        return answer.body

    def enroll(self, member: str, plan_id: str = "employer") -> MemberRef:
        """A member enrolled in a plan since 2020."""
        self.installation.write(
            "insert into member (payer_id, member_id) values (%s, %s) on conflict do nothing", PAYER, member
        )
        self.installation.write(
            "insert into enrollment (payer_id, member_id, plan_id, starts_on) values (%s, %s, %s, %s)",
            *(PAYER, member, plan_id, "2020-01-01"),
        )
        return MemberRef(payer_id=PAYER, member_id=member)

    def tell(self, task: str) -> None:
        """Send the worker a task, as beat does."""
        self._broker.send_task(task)

    def sweep(self) -> None:
        """Do what waits, as the worker's next sweep does."""
        tools = Tools(
            store=self.database,
            rules=self.rules,
            counters=self.counters,
            flags=RedisWakeFlags(self.redis),
            clock=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            totals=Totals(),
            batch_max=1_000,
        )
        sweep(tools)

    def show_wrong_counter(self, ref: MemberRef) -> None:
        """Have Redis show a version of a member that never was."""
        [image] = self.counters.read([ref]).values()
        self.counters.forget([ref])
        self.counters.project([replace(image, version=image.version + 5)])

    # What there is to see

    def count(self, query: str, *values: object) -> int:
        """What a query counts."""
        return int(self.installation.rows(query, *values)[0][0])

    def waits_for(self, ref: MemberRef) -> bool:
        """Whether anything of a member is still to be done."""
        return bool(
            self.count(
                """
                select (select count(*) from visit_event_waiting where member_id = %(m)s)
                     + (select count(*) from refold_request where member_id = %(m)s)
                     + (select count(*) from counter_outbox where member_id = %(m)s)
                """.replace("%(m)s", "%s"),
                *[ref.member_id] * 3,
            )
        )

    def taken(self, ref: MemberRef) -> tuple[int, int, int]:
        """Units used and held by a member, and the entries of the ledger that say so."""
        [found] = self.installation.rows(
            "select coalesce(sum(used), 0)::int, coalesce(sum(held), 0)::int,"
            " (select count(*)::int from ledger_entry where member_id = %s)"
            " from accumulator where member_id = %s",
            *[ref.member_id] * 2,
        )
        used, held, entries = found
        return used, held, entries

    def faults(self, ref: MemberRef) -> list[str]:
        """Whatever is not as it always has to be (I3, I4, I5, I7, and the ledger)."""
        found = []
        with self.database.transaction(EVERY_PAYER, seconds=30) as tx:
            found += [str(fault.fault) for fault in faults_in(tx.ledger.walk([ref]))]
            if tx.ledger.mismatches([ref]):
                found.append("accumulators are not what the ledger adds up to")
            if stored_state(tx, [ref]) != rebuilt_state(tx, self.rules, [ref]):
                found.append("the state is not what a rebuild gives")
        if compare_counters(self.database, self.counters, [ref]).wrong:
            found.append("the counter in Redis is wrong")
        with psycopg.connect(self.servers.database_url) as connection:
            if incomplete(connection):
                found.append("received events are not accounted for")
        if self.count("select count(*) from accumulator where used + held > greatest(allowed, 21)"):
            found.append("more is used than allowed")
        return found


@contextmanager
def opened(servers: Servers, installation: Installation, data_dir: Path, port: int) -> Iterator[Site]:
    """A site on an empty database with the packaged catalog, and its plan."""
    site = Site(servers, installation, data_dir, port)
    site.ask(
        Request(method="PUT", path=f"/v1/payers/{PAYER}/plans/employer", body=PLAN, role="admin", status=201)
    )
    yield site
    site.close()
