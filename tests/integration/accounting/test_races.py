"""Several at once for the same unit, the same visit or the same hold: one wins, and nothing is lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from shared.accounting.drain import drain_shards
from shared.accounting.holds import HoldPosted, HoldRefused, expire_due, place_hold, release_hold
from shared.accounting.overrides import grant_override, revoke_override
from shared.accounting.posting import Posting
from shared.accounting.retrying import retrying
from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.client import EVERY_PAYER
from shared.domain.hold import Override
from shared.domain.hold_records import HoldRequest, NewOverride
from shared.domain.inbox import NewEvent
from shared.domain.records import MemberRef
from shared.messages import SHARDS
from tests.builders import NOW, PAYER, hold_request
from tests.fakes import FixedRules
from tests.model.contents import content as content_of
from tests.model.memory import json_of
from tests.rules import SimpleRules, limit_row, plain_rules
from tests.state_bytes import rebuilt_state, stored_state
from tests.traffic import CLIENT, Traffic, new_event, settle_in

MEMBER, OTHER = "SAMPLE-1", "SAMPLE-2"
REF = MemberRef(payer_id=PAYER, member_id=MEMBER)
OTHER_REF = MemberRef(payer_id=PAYER, member_id=OTHER)
DAY = date(2026, 3, 4)
THREADS = 6


class Counter:
    """A database in which two members share nothing but a limit of three visits a year each."""

    def __init__(self, url: str) -> None:
        """Enroll both members."""
        span = {"plan": "by-arrival", "start": date(2024, 1, 1), "end": None}
        settle_in(url, Traffic(members={m: {"spans": [span], "openings": []} for m in (MEMBER, OTHER)}))
        self.url = url
        self.database = PostgresDatabase(url, connections_max=THREADS + 2)
        self.rules = FixedRules(SimpleRules(plain_rules(limit_row(allowed=3))))
        self._numbers = iter(range(10**6))

    def event(self, kind: str, visit_id: str, on: date = DAY, member: str = MEMBER, **said: Any) -> NewEvent:
        """An event of a visit."""
        content = None if kind == "visit.voided" else content_of(member, on, **said)
        row = {"type": kind, "visit_id": visit_id, "content": content}
        return new_event(f"e{next(self._numbers)}", row)

    def accept(self, *events: NewEvent) -> None:
        """Commit events to the inbox."""
        with self.database.transaction(EVERY_PAYER) as tx:
            tx.inbox.accept(events)
            tx.commit()

    def record(self, count: int) -> None:
        """So many visits, applied."""
        numbers = [next(self._numbers) for _ in range(count)]
        self.accept(*(self.event("visit.recorded", f"v{number}") for number in numbers))
        self.drain()

    def drain(self, dice: random.Random | None = None) -> None:
        """Apply until nothing waits."""
        while self.rows("select 1 from visit_event_waiting limit 1"):
            shards = list(range(SHARDS))
            if dice is not None:
                dice.shuffle(shards)
            for shard in shards:
                report = drain_shards(self.database, self.rules, lambda: NOW, [shard], 100)
                assert report.failed == 0

    def hold(self, hold_id: str, quantity: int = 1, on: date = DAY) -> str:
        """Ask for a hold: `held`, or the code of the refusal."""
        request = hold_request(
            hold_id,
            REF,
            content=json_of(content_of(MEMBER, on)),
            quantity=quantity,
            expires_at=NOW + timedelta(days=1),
        )
        return retrying(lambda: self._hold(request))

    def _hold(self, request: HoldRequest) -> str:
        with self.database.transaction(EVERY_PAYER, seconds=30) as tx:
            try:
                place_hold(tx, self.rules, NOW, request)
            except HoldRefused as refusal:
                tx.commit()
                return refusal.code
            tx.commit()
        return "held"

    def release(self, hold_id: str) -> str:
        """Release a hold; the state it is in then."""
        return retrying(lambda: self._release(hold_id))

    def _release(self, hold_id: str) -> str:
        with self.database.transaction(EVERY_PAYER, seconds=30) as tx:
            row = tx.holds.find(hold_id)
            assert row is not None
            try:
                state, _ = release_hold(tx, self.rules, NOW, row)
            except HoldPosted:
                return "posted"
            tx.commit()
        return state

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query answers, as superuser."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, values).fetchall()

    def counts(self, ref: MemberRef = REF) -> tuple[int, int, int]:
        """(used, held, allowed) of a member's one accumulator."""
        query = "select used, held, allowed from accumulator where member_id = %s and in_use"
        (row,) = self.rows(query, ref.member_id)
        return row[0], row[1], row[2]

    def dispositions(self) -> dict[str, str]:
        """What became of each visit."""
        return dict(self.rows("select visit_id, disposition from visit"))

    def check(self) -> None:
        """The stored state is what everything accepted adds up to."""
        with self.database.transaction(EVERY_PAYER, seconds=60) as tx:
            assert stored_state(tx, [REF, OTHER_REF]) == rebuilt_state(tx, self.rules, [REF, OTHER_REF])


@pytest.fixture
def counter(database_url: str) -> Iterator[Counter]:
    """A member with a limit of three visits a year."""
    counter = Counter(database_url)
    yield counter
    counter.database.close()


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """What each returns, all begun at the same moment."""
    start = threading.Barrier(len(work))

    def begin(one: Callable[[], Any]) -> Any:
        start.wait(timeout=30)
        return one()

    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        return [future.result() for future in [pool.submit(begin, one) for one in work]]


def test_of_several_holds_for_the_last_unit_one_is_granted(counter: Counter) -> None:
    """One hold, and limit_exhausted for everybody else; the unit is held once."""
    counter.record(2)
    answers = at_once(*(lambda n=n: counter.hold(f"h{n}") for n in range(THREADS)))
    assert sorted(answers) == ["held", *["limit_exhausted"] * (THREADS - 1)]
    assert counter.counts() == (2, 1, 3)
    counter.check()


def test_a_hold_and_a_visit_race_for_the_last_unit(counter: Counter) -> None:
    """Whoever comes first has it: used and held are three, and the other is told so."""
    counter.record(2)
    counter.accept(counter.event("visit.recorded", "racer"))
    answer, _ = at_once(lambda: counter.hold("h1"), counter.drain)
    # The event was accepted before, and a hold is decided after what waits.
    assert answer == "limit_exhausted"
    assert counter.counts() == (3, 0, 3)
    assert counter.dispositions()["racer"] == "counted"
    counter.check()


def test_a_hold_of_more_than_is_left_is_refused_and_changes_nothing(counter: Counter) -> None:
    """Two asked, one left: no counted visit makes way for a promise."""
    counter.record(2)
    before = counter.rows("select version, ledger_entries from member where member_id = %s", MEMBER)
    assert counter.hold("h1", quantity=2) == "limit_exhausted"
    assert counter.counts() == (2, 0, 3)
    assert counter.rows("select version, ledger_entries from member where member_id = %s", MEMBER) == before


def test_release_and_the_visit_that_names_the_hold_race(counter: Counter) -> None:
    """Either the visit posted it or it is released and the visit an ordinary one: the unit moves once."""
    for number in range(8):
        on = DAY + timedelta(days=400 * number)
        assert counter.hold(f"h{number}", on=on) == "held"
        visit = counter.event("visit.recorded", f"visit-{number}", on, hold=f"h{number}")
        state, *_ = at_once(
            partial(counter.release, f"h{number}"), partial(counter.accept, visit), counter.drain
        )
        counter.drain()
        (stored,) = counter.rows("select state from hold where hold_id = %s", f"h{number}")
        assert stored == (state,)
        assert state in {"posted", "released"}
        assert counter.dispositions()[f"visit-{number}"] == "counted"
    assert counter.rows("select sum(used), sum(held) from accumulator") == [(8, 0)]
    counter.check()


def test_an_expired_hold_gives_its_unit_to_the_next_in_order(counter: Counter) -> None:
    """Expiry of the last unit's hold counts the visit that was over the limit."""
    counter.record(2)
    assert counter.hold("h1") == "held"
    counter.accept(counter.event("visit.recorded", "waiting"))
    counter.drain()
    assert counter.dispositions()["waiting"] == "over_limit"

    def expire() -> int:
        with counter.database.transaction(EVERY_PAYER, seconds=30) as tx:
            ended, _ = expire_due(tx, counter.rules, NOW + timedelta(days=2), 100)
            tx.commit()
        return ended

    at_once(*[lambda: retrying(expire)] * 3)
    assert counter.rows("select state from hold") == [("expired",)]
    assert counter.dispositions()["waiting"] == "counted"
    assert counter.counts() == (3, 0, 3)
    counter.check()


def test_overrides_granted_and_revoked_at_once_add_up(counter: Counter) -> None:
    """Six granted at the same moment count six more visits; revoked together, they are gone again."""
    counter.record(12)
    grants = [_grant(f"o{n}") for n in range(THREADS)]
    at_once(*(lambda g=grant: retrying(lambda: _granted(counter, g)) for grant in grants))
    assert counter.counts() == (3 + THREADS, 0, 3 + THREADS)
    counter.check()
    at_once(*(lambda g=grant: retrying(lambda: _revoked(counter, g)) for grant in grants))
    assert counter.counts()[:2] == (3, 0)
    counter.check()


def _grant(override_id: str) -> NewOverride:
    override = Override(override_id=override_id, limit_id="dry-needling", service_date=DAY, quantity=1)
    return NewOverride(override=override, ref=REF, client_id=CLIENT, approver="a", reason="r", created_at=NOW)


def _granted(counter: Counter, grant: NewOverride) -> None:
    with counter.database.transaction(EVERY_PAYER, seconds=30) as tx:
        grant_override(tx, counter.rules, NOW, grant)
        tx.commit()


def _revoked(counter: Counter, grant: NewOverride) -> None:
    with counter.database.transaction(EVERY_PAYER, seconds=30) as tx:
        row = tx.overrides.find(grant.override.override_id)
        assert row is not None
        revoke_override(tx, counter.rules, NOW, row)
        tx.commit()


def test_events_of_one_visit_accepted_at_once_are_all_kept(counter: Counter) -> None:
    """Told in two connections that do not see each other, they lie in two shards, and still add up."""
    visits = [f"v{n}" for n in range(12)]
    for visit in visits:
        with (
            counter.database.transaction(EVERY_PAYER) as first,
            counter.database.transaction(EVERY_PAYER) as second,
        ):
            first.inbox.accept([counter.event("visit.recorded", visit)])
            second.inbox.accept([counter.event("visit.voided", visit)])
            second.commit()
            first.commit()
    shards = counter.rows("select visit_id, count(distinct shard) from visit_event group by 1")
    assert any(count == 2 for _, count in shards)
    at_once(*(lambda n=n: counter.drain(random.Random(n)) for n in range(2)))
    assert counter.dispositions() == dict.fromkeys(visits, "voided")
    assert counter.rows("select coalesce(sum(used), 0) from accumulator") == [(0,)]
    counter.check()


def test_events_that_were_put_off_are_applied_in_their_place(counter: Counter) -> None:
    """The record and a void of a visit come due again after its correction was applied: all three count."""
    counter.accept(
        counter.event("visit.recorded", "v1"),
        counter.event("visit.corrected", "v1", date(2027, 3, 4)),
        counter.event("visit.voided", "v1"),
    )
    with psycopg.connect(counter.url) as connection:
        connection.execute(
            "update visit_event_waiting w set retry_at = 'infinity' from visit_event e"
            " where e.arrival = w.arrival and e.type in ('visit.recorded', 'visit.voided')"
        )
    drain_shards(counter.database, counter.rules, lambda: NOW, list(range(SHARDS)), 100)
    assert counter.dispositions() == {"v1": "not_countable"}
    with psycopg.connect(counter.url) as connection:
        connection.execute("update visit_event_waiting set retry_at = null")
    counter.drain()
    assert counter.dispositions() == {"v1": "voided"}
    counter.check()


def test_a_void_that_was_put_off_brings_its_visit_back_to_the_member_of_the_record(counter: Counter) -> None:
    """The correction to another member came after the void, so once that is applied it changes nothing."""
    counter.accept(counter.event("visit.voided", "v1"))
    counter.accept(
        counter.event("visit.corrected", "v1", member=OTHER), counter.event("visit.recorded", "v1")
    )
    with psycopg.connect(counter.url) as connection:
        connection.execute(
            "update visit_event_waiting w set retry_at = 'infinity' from visit_event e"
            " where e.arrival = w.arrival and e.type = 'visit.voided'"
        )
    drain_shards(counter.database, counter.rules, lambda: NOW, list(range(SHARDS)), 100)
    assert counter.counts(OTHER_REF) == (1, 0, 3)
    with psycopg.connect(counter.url) as connection:
        connection.execute("update visit_event_waiting set retry_at = null")
    counter.drain()
    assert counter.rows("select member_id, disposition from visit") == [(MEMBER, "voided")]
    counter.check()


def test_a_correction_moves_both_members_in_one_commit(counter: Counter) -> None:
    """E06: the count leaves one member and reaches the other, each with a ledger entry of the same event."""
    counter.accept(counter.event("visit.recorded", "v1"))
    counter.drain()
    counter.accept(counter.event("visit.corrected", "v1", member=OTHER))
    counter.drain()
    assert counter.counts(OTHER_REF) == (1, 0, 3)
    moved = counter.rows(
        """select member_id, used_delta, xmin::text from ledger_entry where cause_kind = 'visit.corrected'
            order by member_id"""
    )
    assert [(member, delta) for member, delta, _ in moved] == [(MEMBER, -1), (OTHER, 1)]
    assert len({transaction for _, _, transaction in moved}) == 1
    counter.check()


def test_a_first_visit_after_an_opening_balance_is_applied(counter: Counter) -> None:
    """The balance is posted when it is brought in, and the visit beside it."""
    with psycopg.connect(counter.url) as connection:
        connection.execute(
            """insert into opening_balance (payer_id, member_id, plan_id, limit_id, service_date, quantity,
                                            source, sequence, recorded_at)
               values (%s, %s, 'by-arrival', 'dry-needling', %s, 2, 'vendor', 1, now())""",
            [PAYER, MEMBER, DAY],
        )
    with counter.database.transaction(EVERY_PAYER) as tx:
        posting = Posting(tx, counter.rules, NOW)
        posting.open([REF])
        posting.refold(REF, "opening")
        posting.save()
        tx.commit()
    assert counter.counts() == (2, 0, 3)
    counter.record(2)
    assert counter.counts() == (3, 0, 3)
    assert sorted(counter.dispositions().values()) == ["counted", "over_limit"]
    counter.check()


def test_overlapping_batches_in_opposite_orders_do_not_deadlock(counter: Counter) -> None:
    """Two senders give the same events in opposite orders, again and again: every call is answered."""
    batches = [[counter.event("visit.recorded", f"v{part}-{n}") for n in range(1000)] for part in range(3)]
    gate = threading.Barrier(2)

    def send(*, backwards: bool) -> int:
        accepted = 0
        for batch in batches:
            gate.wait(30)
            with counter.database.transaction(EVERY_PAYER) as tx:
                accepted += len(tx.inbox.accept(batch[::-1] if backwards else batch))
                tx.commit()
        return accepted

    counts = at_once(partial(send, backwards=False), partial(send, backwards=True))
    assert sum(counts) == 3000
