"""Holds and overrides: units promised, posted, given back, run out, granted on top and taken back."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from services.counter_worker.usecases.expire_holds import expire_holds
from services.coverage_api.usecases.grant_override import grant_override
from services.coverage_api.usecases.place_hold import PlacedHold, place_hold
from services.coverage_api.usecases.release_hold import release_hold
from services.coverage_api.usecases.revoke_override import revoke_override
from shared.accounting.holds import HoldPosted, HoldRefused
from shared.domain.errors import Invalid
from shared.domain.hold import Override
from shared.domain.hold_records import NewOverride, RequestKey
from tests.machine.scene import dates, members
from tests.machine.subject import ref_of
from tests.machine.told import Row
from tests.machine.visits import VisitSteps
from tests.model.memory import json_of
from tests.model.reference import reference
from tests.model.worlds import often, service


class PromiseSteps(VisitSteps):
    """Clinics hold units, and appeals are won."""

    @rule(
        member=members,
        asked=service(dates),
        quantity=often(1, 2),
        days=st.integers(1, 3),
        visits=st.lists(st.tuples(often("completed", "no_show"), often(0, 1)), max_size=2),
    )
    def hold(self, member: str, asked: Row, quantity: int, days: int, visits: list[tuple[str, int]]) -> None:
        """A clinic has units promised, and reports visits that name the hold, some of another date."""
        key = self.subject.new_id("key")
        content = {
            **asked,
            "member": self.told.home(member),
            "self_pay": False,
            "status": "completed",
            "hold": None,
        }
        expires_at = self.subject.now + timedelta(days=days)
        request = {**json_of(content), "payer_id": self.payer, "quantity": quantity, "expires_at": expires_at}
        try:
            placed = self.do(lambda: place_hold(self.subject.api, self.call(), key, request, b"digest"))
        except HoldRefused:
            return
        again = place_hold(self.subject.api, self.call(), key, request, b"digest")
        assert again == PlacedHold(answer=placed.answer, replayed=True)
        hold_id = placed.answer["hold_id"]
        before = self.audit.asked()
        self.told.holds[hold_id] = {
            **asked,
            "hold_id": hold_id,
            "member": member,
            "quantity": quantity,
            "arrival": self.told.next_arrival(),
            "ended_by": None,
            "end_state": None,
            "expires_at": expires_at,
        }
        self._took_no_unit(before, self.audit.asked(), hold_id)
        names = [
            self.tell(
                "c",
                "visit.recorded",
                f"{hold_id}-{number}",
                {
                    **content,
                    "hold": hold_id,
                    "status": status,
                    "date": asked["date"] + timedelta(days=days_later),
                },
            )
            for number, (status, days_later) in enumerate(visits)
        ]
        self.do(lambda: self.send(names))

    def _took_no_unit(self, before: Row, after: Row, hold_id: str) -> None:
        """A new hold has all its units, and no visit has fewer, save where dates make the order."""
        kept = after["holds"][hold_id]["units"]
        assert kept
        assert set(kept.values()) == {self.told.holds[hold_id]["quantity"]}
        if any(key[0] == "by-date" for key in kept):
            return
        for key, said in before["visits"].items():
            assert sum(said["units"].values()) <= sum(after["visits"][key]["units"].values())

    @precondition(lambda self: self.told.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A clinic gives its units back; those of a posted hold are its visit's."""
        hold_id = data.draw(st.sampled_from(sorted(self.told.holds)), label="hold")
        try:
            state = self.do(lambda: release_hold(self.subject.api, self.call(), hold_id)).state
        except HoldPosted:
            # It was refused by what waits too, which is left waiting.
            settled = reference(self.told.world(self.audit.applied() | self.audit.fresh()))
            assert settled["holds"][hold_id]["state"] == "posted"
            return
        self._end_as_told({hold_id}, "released")
        assert state == self.audit.asked()["holds"][hold_id]["state"]

    @rule(hours=st.sampled_from([1, 20, 30]))
    def expire(self, hours: int) -> None:
        """Time passes, and the worker ends the holds whose time is over."""
        self.subject.pass_time(timedelta(hours=hours))
        self.do(lambda: expire_holds(self.subject.worker))
        now = self.subject.now
        due = {hold_id for hold_id, row in self.told.holds.items() if row["expires_at"] <= now}
        self._end_as_told(due, "expired")

    def _end_as_told(self, hold_ids: set[str], end_state: str) -> None:
        """Note which of these holds have ended: those that were pending by the model, and no others."""
        rows = self.subject.rows(
            "select hold_id from hold where payer_id = %s and ended_by is not null", self.payer
        )
        known = {hold_id for hold_id, row in self.told.holds.items() if row["ended_by"] is not None}
        ended = {hold_id for (hold_id,) in rows} - known
        states = self.audit.asked()["holds"]
        pending = {hold_id for hold_id in hold_ids if states[hold_id]["state"] == "pending"}
        # What is due is found by what is stored, which need not be the newest yet.
        assert ended <= pending if self.audit.to_fold_again() else ended == pending
        for hold_id in sorted(ended):
            self.told.holds[hold_id] |= {"ended_by": self.told.next_arrival(), "end_state": end_state}

    @rule(
        data=st.data(),
        limit_id=often("needling", "pool"),
        on=dates,
        quantity=st.integers(1, 2),
        expires_on=often(None, date(2026, 3, 5)),
        visit_id=st.sampled_from([None, None, "v1", "v2", "v3"]),
    )
    def grant(
        self,
        data: st.DataObject,
        limit_id: str,
        on: date,
        quantity: int,
        expires_on: date | None,
        visit_id: str | None,
    ) -> None:
        """An appeal is won."""
        member = data.draw(st.sampled_from(self.told.homes), label="member")
        override_id = self.subject.new_id("ovr")
        granted: dict[str, Any] = {"quantity": quantity, "expires_on": expires_on, "visit_id": visit_id}
        grant = NewOverride(
            override=Override(override_id=override_id, limit_id=limit_id, service_date=on, **granted),
            ref=ref_of(self.payer, member),
            client_id="c",
            approver="a",
            reason="r",
            created_at=self.subject.now,
            request=RequestKey(idempotency_key=override_id, payload_digest=b"digest"),
        )
        try:
            self.do(lambda: grant_override(self.subject.api, self.call(), grant))
        except Invalid:
            return
        named = {"override_id": override_id, "member": member, "limit_id": limit_id, "date": on}
        self.told.overrides[override_id] = {**named, **granted, "revoked": False}

    @precondition(lambda self: self.told.overrides)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        """An override is taken back, for the first time or again."""
        override_id = data.draw(st.sampled_from(sorted(self.told.overrides)), label="override")
        self.do(lambda: revoke_override(self.subject.api, self.call(), override_id))
        self.told.overrides[override_id]["revoked"] = True
