"""What clients report of visits: in any order, twice, corrected, voided, and naming holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from services.counter_worker.usecases.drain_shard import drain_batch
from services.coverage_api.errors import EventConflict
from services.coverage_api.known_keys import KeyChanged
from services.coverage_api.usecases.record_visit_events import Acceptance, record_visit_events
from shared.accounting.drain import ATTEMPTS_MAX
from shared.domain.client import EVERY_PAYER
from shared.messages import SHARDS
from shared.ports import nobody_waits
from tests.machine.scene import MEMBERS, Scene, dates, members, spans
from tests.machine.subject import CLIENTS, report_of
from tests.machine.told import EventName, Row
from tests.model.worlds import often, service

#: Few visits, so that events meet; a correction or void may come before its visit or without one.
VISITS = 12
FIRST_EVENTS = 10
KINDS = ("visit.recorded", "visit.recorded", "visit.recorded", "visit.corrected", "visit.voided")


def contents() -> st.SearchStrategy[Row]:
    """What an event may say of a visit that names no hold."""
    about = st.fixed_dictionaries(
        {
            "member": members,
            "self_pay": often(False, True),
            "status": often("completed", "no_show"),
            "hold": st.none(),
        }
    )
    return st.builds(lambda said, more: {**said, **more}, service(dates), about)


class VisitSteps(Scene):
    """Visit events come in and are applied."""

    @initialize(enrolled=st.lists(spans(), min_size=len(MEMBERS), max_size=len(MEMBERS)), data=st.data())
    def begin(self, enrolled: list[list[Row]], data: st.DataObject) -> None:
        """Members are enrolled, and have had their first visits."""
        self.settle_in(dict(zip(MEMBERS, enrolled, strict=True)))
        self.report(data, FIRST_EVENTS, then_drain=True)

    @rule(data=st.data(), size=st.sampled_from([1, 3, 6]), then_drain=st.booleans())
    def report(self, data: st.DataObject, size: int, *, then_drain: bool) -> None:
        """So many events of any visits, accepted in one commit."""
        names = []
        for _ in range(size):
            kind = data.draw(st.sampled_from(KINDS), label="type")
            content = None if kind == "visit.voided" else data.draw(self._contents(), label="content")
            client = data.draw(often(*CLIENTS), label="client")
            visit_id = f"v{data.draw(st.integers(1, VISITS), label='visit')}"
            names.append(self.tell(client, kind, visit_id, content))
        # After a crash they may have been there already; a conflict is none of them.
        answers = self.do(lambda: self.send(names))
        assert all(isinstance(answer, Acceptance) for answer in answers)
        if then_drain:
            self.drain(1_000)

    def _contents(self) -> st.SearchStrategy[Row]:
        """What an event may say of a visit that may name a hold."""
        holds = st.sampled_from([None, *self.told.holds])
        return st.builds(lambda said, hold: {**said, "hold": hold}, contents(), holds)

    def tell(self, client: str, kind: str, visit_id: str, content: Row | None) -> EventName:
        """Note an event that is going to be sent next; its name."""
        name = (client, self.subject.new_id("evt"))
        self.told.events[name] = {
            "client": client,
            "visit_id": visit_id,
            "type": kind,
            # It is sent a second from now.
            "received_on": (self.subject.now + timedelta(seconds=1)).date(),
            "content": content,
            "arrival": self.told.next_arrival(),
        }
        return name

    def send(self, names: list[EventName]) -> list[Acceptance | EventConflict | KeyChanged]:
        """Have these events accepted; those that are there already are answered as they stand."""
        reports = [report_of(self.subject, self.payer, name, self.told.events[name]) for name in names]
        return record_visit_events(self.subject.api, reports, nobody_waits)

    @precondition(lambda self: self.told.events)
    @rule(data=st.data())
    def report_again(self, data: st.DataObject) -> None:
        """What was accepted is answered as it stands; under the same id nothing else is accepted (I2)."""
        known = st.sampled_from(sorted(self.told.events))
        names = data.draw(st.lists(known, min_size=1, max_size=3), label="events")
        for answer in self.do(lambda: self.send(names)):
            assert isinstance(answer, Acceptance)
            assert answer.replayed
        name = data.draw(known, label="event with another payload")
        other = {**self.told.events[name], "visit_id": "other"}
        reports = [report_of(self.subject, self.payer, name, other)]
        [answer] = record_visit_events(self.subject.api, reports, nobody_waits)
        assert isinstance(answer, EventConflict)

    @rule(size=st.sampled_from([1_000, 1, 3]))
    def drain(self, size: int) -> None:
        """A drainer applies some of what waits, and shows it."""
        worker = replace(self.subject.worker, batch_max=size)
        assert self.do(lambda: drain_batch(worker, range(SHARDS))).failed == 0

    @rule(data=st.data(), kinds=st.permutations(["visit.recorded", "visit.corrected", "visit.voided"]))
    def put_off(self, data: st.DataObject, kinds: list[str]) -> None:
        """The first of two events of a visit fails, and is applied some time after the second."""
        visit_id = self.subject.new_id("put-off")
        first, second = (
            self.tell(
                "c",
                kind,
                visit_id,
                None if kind == "visit.voided" else data.draw(self._contents(), label="content"),
            )
            for kind in kinds[:2]
        )
        self.do(lambda: self.send([first, second]))
        [(arrival,)] = self.subject.rows("select arrival from visit_event where event_id = %s", first[1])
        self._fail(arrival)
        self.drain(1_000)
        self.subject.pass_time(timedelta(minutes=1))
        self.drain(1_000)

    def _fail(self, arrival: int) -> None:
        with self.subject.database.transaction(EVERY_PAYER) as tx:
            tx.inbox.fail(arrival, "Poison", self.subject.now, ATTEMPTS_MAX)
            tx.commit()
