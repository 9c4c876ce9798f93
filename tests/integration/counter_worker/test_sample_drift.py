"""Counters that differ from their accumulators are found, counted and put right; others are left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from services.counter_worker.ports import Tools
from services.counter_worker.usecases.project_counters import project
from services.counter_worker.usecases.sample_drift import sample_drift
from services.counter_worker.usecases.sweep import sweep
from shared.accounting.reconcile_counters import compare_counters
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.domain.records import CounterImage, MemberRef
from tests.counter_images import HASH_KEY, stored
from tests.offices import MakeTools, Office
from tests.waiting import wait_for


@pytest.fixture
def ref(office: Office, tools: Tools) -> MemberRef:
    """A member with two visits, counted and shown."""
    [made] = office.enroll()
    office.accept([made], visits=2)
    sweep(tools)
    return made


def put(tools: Tools, image: CounterImage) -> None:
    """Have the counter show this, whatever it showed."""
    tools.counters.forget([image.ref])
    tools.counters.project([image])


def shown(tools: Tools, ref: MemberRef) -> CounterImage:
    """What the counter shows."""
    return tools.counters.read([ref])[ref]


def heal(office: Office, tools: Tools) -> None:
    """Let the next sweep find what was queued."""
    office.change("update counter_outbox set queued_at = queued_at - interval '1 minute'")
    sweep(tools)


def test_counters_that_are_right_are_left_alone(office: Office, tools: Tools, ref: MemberRef) -> None:
    """Nothing is found where nothing is wrong, and what was compared is counted."""
    drift = sample_drift(tools)
    assert (drift.compared, drift.wrong) == (1, ())
    with tools.totals.taken() as counts:
        assert counts == {"drift_compared": 1}


def test_different_counter_of_the_same_version_is_put_right(
    office: Office, tools: Tools, ref: MemberRef
) -> None:
    """A counter that lies is deleted at once, and shows the truth after the next sweep."""
    truth = shown(tools, ref)
    put(tools, replace(truth, accumulators=(stored(19),)))
    assert sample_drift(tools).different == (ref,)
    assert tools.counters.read([ref]) == {}
    heal(office, tools)
    assert shown(tools, ref) == truth
    assert sample_drift(tools).wrong == ()


def test_counter_ahead_of_postgres_is_put_right(office: Office, tools: Tools, ref: MemberRef) -> None:
    """After a database was restored from a copy, newer counters would refuse every projection."""
    truth = shown(tools, ref)
    put(tools, replace(truth, version=truth.version + 5))
    assert sample_drift(tools).ahead == (ref,)
    heal(office, tools)
    assert shown(tools, ref) == truth


def test_counter_that_was_never_brought_up_to_date_is_put_right(
    office: Office, tools: Tools, ref: MemberRef
) -> None:
    """An old counter that is not queued would stay old until the member's next visit."""
    truth = shown(tools, ref)
    put(tools, replace(truth, version=truth.version - 1))
    assert sample_drift(tools).behind == (ref,)
    heal(office, tools)
    assert shown(tools, ref) == truth


def test_queued_counter_may_be_behind(office: Office, tools: Tools, ref: MemberRef) -> None:
    """A counter whose turn is still to come is not wrong."""
    truth = shown(tools, ref)
    put(tools, replace(truth, version=truth.version - 1))
    with office.database.transaction(("*",)) as tx:
        tx.outbox.queue([ref])
        tx.commit()
    assert sample_drift(tools).wrong == ()


@dataclass(slots=True)
class OvertakenCounters:
    """Counters that are brought up to date just after they were read for the first time."""

    tools: Tools
    image: CounterImage
    reads: int = 0

    def read(self, refs: Sequence[MemberRef]) -> Mapping[MemberRef, CounterImage]:
        """Read, and after the first time have a drainer come by."""
        found = self.tools.counters.read(refs)
        self.reads += 1
        if self.reads == 1:
            project(self.tools, [self.image])
        return found

    def project(self, images: Sequence[CounterImage]) -> None:
        """Project as ever."""
        self.tools.counters.project(images)

    def forget(self, refs: Sequence[MemberRef]) -> None:
        """Forget as ever."""
        self.tools.counters.forget(refs)


def test_counter_projected_between_the_two_looks_is_right(
    office: Office, tools: Tools, ref: MemberRef
) -> None:
    """Being overtaken by a drainer is not drift."""
    truth = shown(tools, ref)
    put(tools, replace(truth, version=truth.version - 1))
    overtaken = OvertakenCounters(tools, truth)
    assert compare_counters(tools.store, overtaken, [ref]).wrong == ()


def test_absent_counter_is_not_wrong(office: Office, tools: Tools, ref: MemberRef) -> None:
    """Redis is disposable: what is not there is answered from Postgres."""
    tools.counters.forget([ref])
    drift = sample_drift(tools)
    assert (drift.compared, drift.wrong) == (0, ())


def test_order_of_accumulators_is_no_difference(office: Office, tools: Tools) -> None:
    """Two images of the same accumulators agree in whatever order they list them."""
    [ref] = office.enroll()
    office.accept([ref])
    office.accept([ref], on="2027-03-04")
    sweep(tools)
    truth = shown(tools, ref)
    assert len(truth.accumulators) == 2
    put(tools, replace(truth, accumulators=truth.accumulators[::-1]))
    assert sample_drift(tools).wrong == ()


def test_nothing_is_compared_while_redis_is_away(
    office: Office, make_tools: MakeTools, ref: MemberRef
) -> None:
    """A sample without Redis is no sample, and no failure."""
    counters = RedisCounters(connect("redis://127.0.0.1:1/0"), hash_key=HASH_KEY)
    assert sample_drift(make_tools(counters=counters)).compared == 0


def test_sample_is_bounded(office: Office, tools: Tools) -> None:
    """However many members there are, about as many as asked for are compared, never more."""
    office.accept(office.enroll(40))
    wait_for(lambda: sweep(tools) and office.pending() == 0)
    office.change("analyze member")
    sizes = {len(_sample(tools, 10)) for _ in range(20)}
    assert max(sizes) <= 10
    assert len(_sample(tools, 100)) == 40


def _sample(tools: Tools, size: int) -> list[MemberRef]:
    with tools.store.transaction(("*",)) as tx:
        return tx.outbox.sample(size)
