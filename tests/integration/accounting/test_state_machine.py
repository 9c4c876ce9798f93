"""A state machine over the real service parts: whatever is done in whatever order, the model says the same.

Steps are in `tests/machine`: visit events, holds, overrides, changes of what they are counted by. Here are
misfortunes, what is asked, and what has to hold after each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from services.counter_worker.usecases.sample_drift import sample_drift
from services.counter_worker.usecases.sweep import sweep
from shared.accounting.check import read_counters
from shared.domain.client import EVERY_PAYER
from shared.domain.records import CounterImage
from tests.folding import decided
from tests.machine.changes import ChangeSteps
from tests.machine.scene import MEMBERS, dates, members
from tests.machine.subject import Subject, ref_of
from tests.machine.told import Row
from tests.model.agreement import agree
from tests.model.bridge import service_of
from tests.model.reference import reference
from tests.model.running import searching
from tests.model.worlds import often, service

EXAMPLES, STEPS = 6, 30
STEPS_BETWEEN_REBUILDS = 6


class Machine(ChangeSteps):
    """Everything that clients, operators and misfortune do to one payer's members."""

    @rule(call=st.integers(0, 14))
    def crash_soon(self, call: int) -> None:
        """The process ends in the middle of what is done next, and what was being done is done again."""
        self.subject.store.crash_at_call(call)

    @rule(away=often(False, True), loses_all=often(False, True, True), late=st.integers(0, 19))
    def befall_redis(self, late: int, *, away: bool, loses_all: bool) -> None:
        """Redis loses all, goes away or comes back; a writer that was stalled writes an old state (I6)."""
        counters = self.subject.counters
        counters.away = away
        if loses_all:
            self.subject.redis.flushall()
            self.subject.redis.script_flush()
        own = [image for image in counters.written if image.ref.payer_id == self.payer]
        if own:
            self._write_late(own[late % len(own)])

    def _write_late(self, late: CounterImage) -> None:
        self.subject.counters.write_late(late)
        with self.subject.database.transaction(EVERY_PAYER) as tx:
            tx.outbox.forget([late])
            tx.commit()

    @rule()
    def sweep_up(self) -> None:
        """The worker's sweep: everything that waits and is due is applied, every counter shown."""
        self.subject.pass_time(timedelta(minutes=1))
        self.do(lambda: sweep(self.subject.worker))
        assert not self.audit.to_fold_again()
        self.do(lambda: sample_drift(self.subject.worker))

    @rule(member=members, asked=service(dates))
    def check(self, member: str, asked: Row) -> None:
        """A check answers what the next visit would meet, and the same without Redis (I5)."""
        # Two visits of one provider may be one, and what an operator makes of that no check can know.
        asked = {**asked, "npi": None}
        ref, wanted = ref_of(self.payer, member), service_of(asked)
        images = read_counters(self.subject.counters, [ref])
        with self.subject.database.transaction([self.payer]) as tx:
            said = decided(tx, self.subject.rules, images, ref, wanted)
            told = decided(tx, self.subject.rules, {}, ref, wanted)
        assert said == told
        assert agree(said, self._met_by(member, asked))

    def _met_by(self, member: str, asked: Row) -> str:
        """What becomes of a visit that is recorded now, by the model."""
        world = self.told.world(self.audit.applied())
        about = {"member": self.told.home(member), "self_pay": False, "status": "completed", "hold": None}
        world["events"].append(
            {
                "client": "e",
                "visit_id": "asked",
                "type": "visit.recorded",
                "received_on": self.subject.now.date(),
                "content": {**asked, **about},
                "arrival": self.told.next_arrival(),
            }
        )
        disposition: str = reference(world)["visits"]["e", "asked"]["disposition"]
        return disposition

    @invariant()
    def holds_true(self) -> None:
        """See `Audit`."""
        self.steps += 1
        member = MEMBERS[self.steps % len(MEMBERS)]
        self.audit.check(member, thoroughly=self.steps % STEPS_BETWEEN_REBUILDS == 0)

    def teardown(self) -> None:
        """Once everything has been applied and shown, everything holds, and nothing waits."""
        if not hasattr(self, "audit"):
            return
        self.subject.counters.away = False
        self.subject.store.calm()
        self.expire(hours=100)
        # The second sweep shows anew what the sample found to be wrong.
        sweep(self.subject.worker)
        sample_drift(self.subject.worker)
        sweep(self.subject.worker)
        for member in self.told.homes:
            self.audit.check(member, thoroughly=True)
        assert "pending" not in self.audit.statuses().values()


@pytest.fixture
def subject(database_url: str, redis_url: str) -> Iterator[Subject]:
    """A service for all examples."""
    made = Subject(database_url, redis_url)
    yield made
    made.close()


@pytest.mark.timeout(7_200)
def test_whatever_is_done_the_counts_are_those_of_the_model(subject: Subject) -> None:
    """No order of events, holds, changes, crashes and faults of Redis makes a count wrong."""

    class OnSubject(Machine):
        def __init__(self) -> None:
            super().__init__(subject)

    run_state_machine_as_test(OnSubject, settings=settings(searching(EXAMPLES), stateful_step_count=STEPS))
