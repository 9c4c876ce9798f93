"""An operator's desk: a database whose members' visits come in, are counted, and are looked after."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
from click.testing import CliRunner, Result

from services.operator_cli.main import main
from shared.accounting.drain import drain_shards
from shared.accounting.posting import Posting
from shared.accounting.rebuild import Group, Rebuilt, rebuild_group
from shared.adapters.catalog_source import CatalogSource
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.domain.client import EVERY_PAYER
from shared.domain.inbox import NewEvent
from shared.domain.records import Cause, CounterImage, MemberRef
from shared.messages import SHARDS, shard_of
from shared.ports import RulesSource
from tests.builders import PAYER
from tests.counter_images import HASH_KEY
from tests.offices import Office, open_office
from tests.state_bytes import rebuilt_state, stored_state

CLIENT = "c"
NPI = "1234567893"


def member(name: str) -> MemberRef:
    """A member of the one payer."""
    return MemberRef(payer_id=PAYER, member_id=f"SAMPLE-{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything an operator's test needs, on real servers."""

    office: Office
    redis_url: str
    data_dir: Path
    rules: RulesSource
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def database(self) -> PostgresDatabase:
        """The database as the services see it."""
        return self.office.database

    # What clients send

    def enroll(self, name: str, *, start: str = "2020-01-01", end: str | None = None) -> MemberRef:
        """A member enrolled in the plan `employer` over `[start, end)`; again adds a span."""
        ref = member(name)
        self.office.change(
            "insert into member (payer_id, member_id) values (%s, %s) on conflict do nothing",
            ref.payer_id,
            ref.member_id,
        )
        self.office.change(
            "insert into enrollment values (%s, %s, 'employer', %s, %s)",
            ref.payer_id,
            ref.member_id,
            start,
            end,
        )
        return ref

    def record(self, ref: MemberRef, visit: str, on: str = "2026-03-04", **content: Any) -> str:
        """A `visit.recorded` in the inbox; its event id."""
        return self._send("visit.recorded", visit, ref, on, content)

    def record_many(self, ref: MemberRef, count: int, on: str = "2026-03-04") -> list[str]:
        """That many visits of a date, named after the member; their visit ids."""
        visits = [f"{ref.member_id}-{next(self._numbers)}" for _ in range(count)]
        for visit in visits:
            self.record(ref, visit, on)
        return visits

    def correct(self, ref: MemberRef, visit: str, on: str = "2026-03-04", **content: Any) -> str:
        """A `visit.corrected` in the inbox; its event id."""
        return self._send("visit.corrected", visit, ref, on, content)

    def void(self, visit: str) -> str:
        """A `visit.voided` in the inbox; its event id."""
        return self._send("visit.voided", visit, None, "", {})

    def _send(self, kind: str, visit: str, ref: MemberRef | None, on: str, content: dict[str, Any]) -> str:
        event_id = f"e{next(self._numbers)}"
        said = None
        if ref is not None:
            lines = [{"procedure_code": "20560"}]
            said = {"member_id": ref.member_id, "service_date": on, "lines": lines, **content}
        event = NewEvent(
            payer_id=PAYER,
            client_id=CLIENT,
            event_id=event_id,
            type=kind,
            visit_id=visit,
            member_id=ref.member_id if ref else None,
            shard=shard_of(PAYER, ref.member_id if ref else visit),
            content=said,
            payload_digest=hashlib.sha256(event_id.encode()).digest(),
            received_at=datetime.now(UTC),
        )
        with self.database.transaction(EVERY_PAYER) as tx:
            tx.inbox.accept([event])
            tx.commit()
        return event_id

    def drain(self) -> list[CounterImage]:
        """Apply everything that waits; the counters to show."""
        images: list[CounterImage] = []
        shards, more = list(range(SHARDS)), True
        while more:
            report = drain_shards(self.database, self.rules, lambda: datetime.now(UTC), shards, 1_000)
            images += report.images
            more = report.more
        return images

    def refold(self, *refs: MemberRef) -> None:
        """Fold members again, as a change of a plan has it done."""
        with self.database.transaction(EVERY_PAYER) as tx:
            posting = Posting(tx, self.rules, datetime.now(UTC))
            posting.open(refs)
            for ref in refs:
                posting.refold(ref, "test")
            posting.save()
            tx.commit()

    # What operators do

    def rebuild(self, *refs: MemberRef, keep: bool = True) -> Rebuilt:
        """Rebuild these members together."""
        return rebuild_group(
            self.database,
            self.rules,
            lambda: datetime.now(UTC),
            Group(members=frozenset(refs)),
            Cause(kind="rebuild", id="test"),
            keep=keep,
        )

    def needlecap(
        self, *arguments: str, files: dict[str, str] | None = None, given: str | None = None
    ) -> Result:
        """Call the command on this desk's servers; `files` are written beside first, `given` is its input."""
        for name, text in (files or {}).items():
            (self.data_dir / name).write_text(text, encoding="utf-8")
        environment = {
            "DATABASE_URL": self.office.url,
            "REDIS_URL": self.redis_url,
            "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
            "COLUMNS": "200",
        }
        return CliRunner().invoke(
            main, [*arguments, "--data-dir", str(self.data_dir)], env=environment, input=given
        )

    def merge(self, source_id: str, into_id: str, *more: str) -> Result:
        """`needlecap members merge` of two members of the usual payer."""
        ids = f"{source_id}\n{into_id}\n"
        return self.needlecap("members", "merge", "--payer", PAYER, *more, given=ids)

    # What there is to see

    def states(self, *refs: MemberRef) -> tuple[bytes, bytes]:
        """The members' state as stored, and as rebuilt from nothing."""
        with self.database.transaction(EVERY_PAYER, seconds=60) as tx:
            return stored_state(tx, refs), rebuilt_state(tx, self.rules, refs)

    def used(self, ref: MemberRef) -> list[tuple[date, int, int]]:
        """(start of the period, used, held) of each accumulator in use."""
        return self.office.rows(
            "select period_start, used, held from accumulator where member_id = %s and in_use order by 1",
            ref.member_id,
        )

    def version(self, ref: MemberRef) -> int:
        """The version of a member's state."""
        return int(self.office.rows("select version from member where member_id = %s", ref.member_id)[0][0])

    def dispositions(self) -> dict[str, str]:
        """What became of each visit."""
        return dict(self.office.rows("select visit_id, disposition from visit"))

    def counters(self) -> RedisCounters:
        """The counters as the services see them."""
        return RedisCounters(connect(self.redis_url), hash_key=HASH_KEY)

    def tamper(self, statement: str, *values: object) -> None:
        """Have a superuser change the ledger behind everybody's back, with its triggers off."""
        with psycopg.connect(self.office.url) as connection:
            connection.execute("alter table ledger_entry disable trigger all")
            connection.execute(statement, values)
            connection.execute("alter table ledger_entry enable always trigger ledger_entry_append_only")
            connection.execute("alter table ledger_entry enable always trigger ledger_entry_no_truncate")


def open_desk(database_url: str, redis_url: str, data_dir: Path) -> Desk:
    """A desk on an empty database and an empty Redis."""
    office = open_office(database_url)
    return Desk(office=office, redis_url=redis_url, data_dir=data_dir, rules=CatalogSource(office.database))
