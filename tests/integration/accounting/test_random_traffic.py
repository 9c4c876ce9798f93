"""Thousands of events of many members, applied while they come: the same state as a rebuild and the model."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
import psycopg
import pytest

from shared.accounting.codec import service_from
from shared.accounting.drain import drain_shards
from shared.accounting.holds import HoldPosted, HoldRefused, place_hold, release_hold
from shared.accounting.overrides import grant_override
from shared.accounting.retrying import retrying
from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.domain.hold import Override
from shared.domain.hold_records import HoldRequest, NewOverride
from shared.domain.records import MemberRef
from shared.messages import SHARDS
from tests.builders import NOW, PAYER, hold_request
from tests.fakes import FixedRules
from tests.model.memory import json_of
from tests.model.reference import reference
from tests.model.running import thoroughly
from tests.rules import SimpleRules
from tests.state_bytes import rebuilt_state, stored_state
from tests.traffic import CLIENT, PLANS, RULES, SENDINGS_MAX, Traffic, make_traffic, send, settle_in

Row = dict[str, Any]
T = TypeVar("T")

#: How often a run tells how far it is.
TELL_SECONDS = 5.0
MEMBERS, EVENTS = (1_000, 20_000) if thoroughly() else (70, 1_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinic:
    """A database with traffic coming in, and everything that is done to it."""

    url: str
    database: PostgresDatabase
    traffic: Traffic
    rules: FixedRules

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query answers, as superuser."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, values).fetchall()

    def deliver(self, dice: random.Random, event_ids: list[str]) -> None:
        """Send in batches of any size."""
        at = 0
        while at < len(event_ids):
            size = dice.choice([1, 7, 50, 400])
            send(self.database, self.traffic, event_ids[at : at + size])
            at += size

    def drain(self, dice: random.Random, sent: threading.Event) -> None:
        """Apply what waits, a few shards at a time, until everything was sent and nothing waits any more."""
        while True:
            last_round = sent.is_set()
            shards = dice.sample(range(SHARDS), SHARDS)
            applied = 0
            while shards:
                some = [shards.pop() for _ in range(min(len(shards), dice.choice([1, 3, 20, 64])))]
                report = drain_shards(
                    self.database, self.rules, lambda: NOW, some, dice.choice([1, 10, 100, 1_000])
                )
                applied += report.applied
                assert report.failed == 0
            if last_round and not applied and not self._waiting():
                return

    def _waiting(self) -> bool:
        return bool(self.rows("select 1 from visit_event_waiting limit 1"))

    def promise(self, dice: random.Random, count: int) -> None:
        """Place holds, send visits that name some of them, release others; grant a few overrides."""
        members = list(self.traffic.members)
        told = [event["content"] for event in self.traffic.events.values() if event["content"] is not None]
        for number in range(count):
            content = {**dice.choice(told), "member": dice.choice(members)}
            self._promise(dice, f"hld-{dice.random()}-{number}", content)
            if number % 5 == 0:
                self._grant(f"ovr-{dice.random()}-{number}", content)

    def _promise(self, dice: random.Random, hold_id: str, content: Row) -> None:
        request = hold_request(
            hold_id,
            MemberRef(payer_id=PAYER, member_id=content["member"]),
            content=json_of(content),
            quantity=dice.choice([1, 1, 2]),
            expires_at=NOW + timedelta(days=9),
        )
        if not _again(lambda: self._place(request)):
            return
        fate = dice.random()
        if fate < 0.6:
            visit_id = f"visit-of-{hold_id}"
            status = "no_show" if fate < 0.1 else "completed"
            event = {
                "client": CLIENT,
                "visit_id": visit_id,
                "type": "visit.recorded",
                "received_on": NOW.date(),
                "content": {**content, "hold": hold_id, "status": status, "self_pay": False},
            }
            self.traffic.events[visit_id] = event
            send(self.database, self.traffic, [visit_id])
        elif fate < 0.8:
            _again(lambda: self._release(hold_id))

    def _place(self, request: HoldRequest) -> bool:
        with self.database.transaction(EVERY_PAYER, seconds=60) as tx:
            try:
                place_hold(tx, self.rules, NOW, request)
            except HoldRefused:
                tx.commit()
                return False
            tx.commit()
        return True

    def _release(self, hold_id: str) -> None:
        with self.database.transaction(EVERY_PAYER, seconds=60) as tx:
            row = tx.holds.find(hold_id)
            assert row is not None
            try:
                release_hold(tx, self.rules, NOW, row)
            except HoldPosted:
                return
            tx.commit()

    def _grant(self, override_id: str, content: Row) -> None:
        override = Override(
            override_id=override_id, limit_id="needling", service_date=content["date"], quantity=1
        )
        grant = NewOverride(
            override=override,
            ref=MemberRef(payer_id=PAYER, member_id=content["member"]),
            client_id=CLIENT,
            approver="a",
            reason="r",
            created_at=datetime.now(UTC),
        )
        _again(lambda: self._grant_now(grant))

    def _grant_now(self, grant: NewOverride) -> None:
        with self.database.transaction(EVERY_PAYER, seconds=60) as tx:
            grant_override(tx, self.rules, NOW, grant)
            tx.commit()

    def world(self) -> Row:
        """What the database has accepted, as the reference model takes it."""
        arrivals = self.rows("select event_id, arrival from visit_event_in_full where status = 'applied'")
        holds = self.rows(
            "select hold_id, member_id, arrival, content, quantity, ended_by, end_state from hold"
        )
        grants = self.rows(
            "select override_id, member_id, limit_id, service_date, quantity from override_grant"
        )
        return {
            "rules": RULES,
            "plans": PLANS,
            "members": self.traffic.members,
            "events": [{**self.traffic.events[name], "arrival": arrival} for name, arrival in arrivals],
            "holds": [_hold(*row) for row in holds],
            "overrides": [
                {
                    "override_id": name,
                    "member": member,
                    "limit_id": limit_id,
                    "date": on,
                    "quantity": quantity,
                    "expires_on": None,
                    "visit_id": None,
                    "revoked": False,
                }
                for name, member, limit_id, on, quantity in grants
            ],
            "decisions": {},
        }


def _again(work: Callable[[], T]) -> T:
    """What `work`, a whole transaction, comes to; begun again, as clients do, if the store cannot answer."""
    for _ in range(SENDINGS_MAX):
        try:
            return retrying(work)
        except StoreUnavailable as error:
            click.echo(f"begun again after {type(error.__cause__).__name__}")
    raise StoreUnavailable


def _hold(
    hold_id: str, member: str, arrival: int, content: Row, quantity: int, ended_by: int, end_state: str
) -> Row:
    service = service_from(content)
    return {
        "hold_id": hold_id,
        "member": member,
        "arrival": arrival,
        "quantity": quantity,
        "ended_by": ended_by,
        "end_state": end_state,
        "date": service.service_date,
        "lines": [
            {
                "code": line.procedure_code,
                "quantity": line.quantity,
                "modifiers": list(line.modifiers),
                "diagnoses": list(line.diagnosis_codes),
            }
            for line in service.lines
        ],
        "npi": service.provider.npi,
        "state": service.state,
        "network": service.network,
        "authorization": None,
        "injury": None,
    }


@pytest.fixture
def clinic(database_url: str) -> Iterator[Clinic]:
    """Members enrolled in plans with a limit of each kind, and traffic that is yet to come."""
    traffic = make_traffic(20_260_304, members=MEMBERS, events=EVENTS)
    settle_in(database_url, traffic)
    database = PostgresDatabase(database_url, connections_max=8)
    yield Clinic(url=database_url, database=database, traffic=traffic, rules=FixedRules(SimpleRules(RULES)))
    database.close()


def _run(clinic: Clinic) -> None:
    """Two senders, two drainers and one who holds, all at once, until everything is applied."""
    sent = threading.Event()
    half = len(clinic.traffic.sending) // 2
    sending = list(clinic.traffic.sending)
    with ThreadPoolExecutor(max_workers=6) as pool:
        telling = pool.submit(_tell, clinic, sent)
        drains = [pool.submit(clinic.drain, random.Random(n), sent) for n in (1, 2)]
        senders: list[Callable[[], None]] = [
            lambda: clinic.deliver(random.Random(3), sending[:half]),
            lambda: clinic.deliver(random.Random(4), sending[half:]),
            lambda: clinic.promise(random.Random(5), MEMBERS),
        ]
        waiting = [pool.submit(sender) for sender in senders]
        try:
            for one in waiting:
                one.result()
        finally:
            sent.set()
        for one in drains:
            one.result()
        telling.result()


def _tell(clinic: Clinic, sent: threading.Event) -> None:
    """Say how far a run of full size is, now and then; everyday runs are over before."""
    while not sent.wait(TELL_SECONDS):
        [(received, waiting)] = clinic.rows(
            "select count(*), count(*) filter (where status = 'pending') from visit_event_in_full"
        )
        click.echo(f"received {received:,} of {EVENTS:,} events, {waiting:,} wait")


@pytest.mark.timeout(3_600)
def test_applied_while_it_comes_equals_a_rebuild_and_the_model(clinic: Clinic) -> None:
    """Stored state is byte-equal to one rebuilt from nothing, and says what the reference model says."""
    _run(clinic)
    refs = [MemberRef(payer_id=PAYER, member_id=member) for member in clinic.traffic.members]
    with clinic.database.transaction(EVERY_PAYER, seconds=600) as tx:
        stored = stored_state(tx, refs)
        assert stored == rebuilt_state(tx, clinic.rules, refs)
    asked = reference(clinic.world())
    assert _stored_dispositions(clinic) == {
        visit_id: said["disposition"] for (_, visit_id), said in asked["visits"].items()
    }
    assert _stored_holds(clinic) == {name: hold["state"] for name, hold in asked["holds"].items()}
    assert _stored_counts(clinic) == _asked_counts(asked)
    _check_ledger(clinic)
    found = Counter(_stored_dispositions(clinic).values())
    assert found.keys() >= {"counted", "partially_counted", "over_limit", "possible_duplicate", "voided"}
    _sum_up(clinic, found, stored)


def _sum_up(clinic: Clinic, found: Counter[str], stored: bytes) -> None:
    """Say in a line what a run was about."""
    kinds = Counter(event["type"] for event in clinic.traffic.events.values())
    dispositions = ", ".join(f"{disposition} {count:,}" for disposition, count in found.most_common())
    click.echo(
        f"{MEMBERS:,} members, {sum(kinds.values()):,} events in random order"
        f" ({len(clinic.traffic.sending) - EVENTS:,} of them sent twice,"
        f" {kinds['visit.voided']:,} voids, {kinds['visit.corrected']:,} corrections),"
        f" {len(_stored_holds(clinic)):,} holds; visits: {dispositions}."
        f" The state, {len(stored):,} bytes, is byte for byte the rebuilt one, and what the model says."
    )


def _stored_dispositions(clinic: Clinic) -> dict[str, str]:
    return dict(clinic.rows("select visit_id, disposition from visit"))


def _stored_holds(clinic: Clinic) -> dict[str, str]:
    return dict(clinic.rows("select hold_id, state from hold"))


def _stored_counts(clinic: Clinic) -> dict[Any, tuple[int, int]]:
    rows = clinic.rows(
        "select member_id, plan_id, limit_id, basis, period_start, period_end, subject, used, held"
        " from accumulator where used > 0 or held > 0"
    )
    return {tuple(row[:7]): (row[7], row[8]) for row in rows}


def _asked_counts(asked: Row) -> dict[Any, tuple[int, int]]:
    return {
        key: (sum(found["used"].values()), sum(found["held"].values()))
        for key, found in asked["accumulators"].items()
    }


def _check_ledger(clinic: Clinic) -> None:
    """Every event once, every version once, and no version of any accumulator over its limit (I3)."""
    events = len(clinic.traffic.events)
    (statuses,) = clinic.rows(
        "select count(*), count(*) filter (where status in ('applied', 'rejected')) from visit_event_in_full"
    )
    assert statuses == (events, events)
    gaps = clinic.rows(
        """
        select a.member_id, a.limit_id from accumulator a left join ledger_entry l
            on (l.payer_id, l.member_id, l.plan_id, l.limit_id, l.basis, l.period_start, l.subject)
             = (a.payer_id, a.member_id, a.plan_id, a.limit_id, a.basis, a.period_start, a.subject)
         group by a.payer_id, a.member_id, a.plan_id, a.limit_id, a.basis, a.period_start, a.subject,
                  a.version, a.used, a.held
        having count(l.version) <> a.version or coalesce(max(l.version), 0) <> a.version
            or coalesce(sum(l.used_delta), 0) <> a.used or coalesce(sum(l.held_delta), 0) <> a.held
        """
    )
    assert gaps == []
    over = clinic.rows(
        "select 1 from ledger_entry where used_delta + held_delta > 0 and used_after + held_after > allowed"
        " and basis <> 'rolling_days'"
    )
    assert over == []
