"""Counts of visit events are kept as events come and go, and are right at every moment (I7)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from shared.accounting.drain import drain_shards
from shared.adapters.catalog_source import CatalogSource
from shared.domain.client import EVERY_PAYER
from shared.domain.inbox import NewEvent
from shared.domain.intake import StreamedEvent
from shared.domain.standing import EventCounts
from shared.messages import SHARDS
from tests.builders import NOW, PAYER
from tests.offices import Office, open_office

OTHER_PAYER = "medicare"


@pytest.fixture
def office(database_url: str) -> Office:
    """An office with nothing in its inbox."""
    return open_office(database_url)


def events(numbers: Sequence[int], payer_id: str = PAYER) -> list[NewEvent]:
    """One visit of a member of its own for each number."""
    return [
        NewEvent(
            payer_id=payer_id,
            client_id="c",
            event_id=f"e{number}",
            type="visit.recorded",
            visit_id=f"v{number}",
            member_id=f"SAMPLE-{number}",
            shard=number % SHARDS,
            content={
                "member_id": f"SAMPLE-{number}",
                "service_date": "2026-03-04",
                "lines": [{"procedure_code": "20560"}],
            },
            payload_digest=hashlib.sha256(str(number).encode()).digest(),
            received_at=NOW,
        )
        for number in numbers
    ]


def accept(office: Office, given: Sequence[NewEvent], *, keep: bool = True) -> None:
    """Take events in as the API does."""
    with office.database.transaction(EVERY_PAYER) as tx:
        tx.inbox.accept(given)
        if keep:
            tx.commit()


def take_in(office: Office, given: Sequence[NewEvent]) -> None:
    """Take events in as a stream does."""
    streamed = [
        StreamedEvent(
            payer_id=event.payer_id,
            event_id=event.event_id,
            type=event.type,
            visit_id=event.visit_id,
            member_id=event.member_id,
            hold_id=None,
            content=orjson.dumps(event.content),
            payload_digest=event.payload_digest,
        )
        for event in given
    ]
    with office.database.transaction(EVERY_PAYER) as tx:
        destinations = [(event.shard, event.member_id) for event in given]
        tx.bulk_inbox.take_in("c", streamed, destinations, NOW, lambda store: store())
        tx.commit()


def drain(office: Office) -> None:
    """Apply what waits."""
    rules, shards = CatalogSource(office.database), list(range(SHARDS))
    while drain_shards(office.database, rules, lambda: datetime.now(UTC), shards, 50).more:
        pass


def counts(office: Office, payer_id: str = PAYER) -> EventCounts:
    """The counts of one payer."""
    with office.database.transaction(EVERY_PAYER) as tx:
        return tx.standing.event_counts()[payer_id]


def counted(office: Office) -> dict[str, tuple[int, int, int]]:
    """Received, applied and rejected by payer, from the events themselves."""
    rows = office.rows(
        "select payer_id, count(*), count(*) filter (where status = 'applied'),"
        " count(*) filter (where status = 'rejected') from visit_event_in_full group by 1"
    )
    return {payer_id: (received, applied, rejected) for payer_id, received, applied, rejected in rows}


def test_only_what_is_new_and_kept_is_counted(office: Office) -> None:
    """Neither a replay, nor an event twice in a stream, nor what was taken back (I2)."""
    accept(office, events(range(10)))
    accept(office, events(range(12)))
    take_in(office, events([11, 12, 12, 13]))
    accept(office, events(range(20, 30)), keep=False)
    assert counts(office) == EventCounts(received=14, pending=14, oldest_pending_at=NOW)


def test_payers_are_counted_apart(office: Office) -> None:
    """Also where one commit has events of both, applied, rejected and waiting."""
    accept(office, [*events(range(4)), *events(range(4, 10), OTHER_PAYER)])
    again = [replace(event, event_id=f"{event.event_id}-again") for event in events(range(3))]
    accept(office, again)
    drain(office)
    accept(office, events([50], OTHER_PAYER))
    assert counts(office) == EventCounts(received=7, applied=4, rejected=3)
    assert counts(office, OTHER_PAYER) == EventCounts(received=7, applied=6, pending=1, oldest_pending_at=NOW)


def test_rows_are_put_together_without_changing_a_sum(office: Office) -> None:
    """Few are left alone; many become one for each payer."""
    accept(office, [*events(range(5)), *events(range(5, 8), OTHER_PAYER)])
    before = [counts(office, payer) for payer in (PAYER, OTHER_PAYER)]
    gather(office)
    assert office.rows("select count(*) from visit_event_count") == [(2,)]
    office.change(
        "insert into visit_event_count (payer_id, received, applied)"
        " select %s, n %% 2, 1 - n %% 2 from generate_series(1, 2000) n",
        PAYER,
    )
    gather(office)
    assert office.rows("select received, applied from visit_event_count where payer_id = %s", PAYER) == [
        (1005, 1000)
    ]
    assert office.rows("select count(*) from visit_event_count") == [(2,)]
    assert counts(office, OTHER_PAYER) == before[1]


def gather(office: Office) -> None:
    """Put rows together as a sweep does."""
    with office.database.transaction(EVERY_PAYER) as tx:
        tx.jobs.gather_event_counts()
        tx.commit()


def test_equation_holds_at_every_look_while_everything_moves(office: Office) -> None:
    """Events come in singly and in streams, are applied, and rows are put together, all at once."""
    # Rows enough that putting them together has something to do every time.
    office.change(
        "insert into visit_event_count (payer_id) select %s from generate_series(1, 2000)", OTHER_PAYER
    )
    done = threading.Event()
    looks: list[EventCounts] = []

    def look() -> None:
        while not done.is_set():
            looks.append(counts(office))
            gather(office)

    def accept_singly() -> None:
        for first in range(0, 200, 5):
            accept(office, events(range(first, first + 5)))

    def stream() -> None:
        for first in range(180, 500, 40):
            take_in(office, events(range(first, first + 40)))

    with ThreadPoolExecutor(4) as pool:
        looking = pool.submit(look)
        moving = [pool.submit(act) for act in (accept_singly, stream, lambda: drain(office))]
        for moved in moving:
            moved.result(60)
        done.set()
        looking.result(60)
    drain(office)
    assert looks
    assert [found for found in looks if not found.is_complete] == []
    received, applied, rejected = counted(office)[PAYER]
    assert received == 500
    assert counts(office) == EventCounts(received=received, applied=applied, rejected=rejected)
