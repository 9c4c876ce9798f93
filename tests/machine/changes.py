"""What payers and operators say: enrollments, plans, limits, merges, duplicates, balances, rebuilds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from services.coverage_api.usecases.put_enrollments import put_enrollments
from services.coverage_api.usecases.put_plan import put_plan
from shared.accounting.duplicates import decide_duplicate
from shared.accounting.merge import merge_members
from shared.accounting.opening_balances import state_opening_balances
from shared.accounting.rebuild import Group, rebuild_group
from shared.domain.client import EVERY_PAYER
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.hold import OpeningBalance
from shared.domain.operator_records import NewDecision, NewMerge, OpeningStatement
from shared.domain.records import Cause
from shared.domain.visit import VisitKey
from tests.machine.promises import PromiseSteps
from tests.machine.scene import DATES, LIMITS, PLAN_IDS, dates, spans
from tests.machine.subject import ref_of
from tests.machine.told import Row
from tests.machine.visits import contents
from tests.model.bridge import plans_of
from tests.model.worlds import often
from tests.rules import plain_rules


class ChangeSteps(PromiseSteps):
    """Everything that is folded again because of something else than an event."""

    @rule(data=st.data(), enrolled=spans())
    def enroll(self, data: st.DataObject, enrolled: list[Row]) -> None:
        """The payer sends a member's spans anew."""
        member = data.draw(st.sampled_from(self.told.homes), label="member")
        wanted = [EnrollmentSpan(plan_id=one["plan"], start=one["start"], end=one["end"]) for one in enrolled]
        self.do(
            lambda: put_enrollments(
                self.subject.api, self.call(), ref_of(self.payer, member), wanted, "request"
            )
        )
        self.told.spans[member] = enrolled

    @rule(
        plan_id=st.sampled_from(PLAN_IDS),
        starts=st.sampled_from(["01-01", "07-01", "03-05"]),
        carry_over=st.sampled_from(["none", "same_product", "all"]),
    )
    def change_plan(self, plan_id: str, starts: str, carry_over: str) -> None:
        """A plan's year begins on another day, or a change into it brings counts along."""
        self.told.plans[plan_id] |= {"plan_year_start": starts, "carry_over": carry_over}
        plan = replace(plans_of(self.told.world(()))[plan_id], payer_id=self.payer)
        self.do(lambda: put_plan(self.subject.api, self.call(), plan))

    @rule(
        number=st.integers(0, len(LIMITS) - 1),
        allowed=st.integers(0, 4),
        since=st.sampled_from([None, *DATES]),
    )
    def change_limit(self, number: int, allowed: int, since: date | None) -> None:
        """A limit is raised or lowered, from a date on or for all time."""
        row = LIMITS[number]
        name = (row["limit_id"], row["plans"])
        limits = [one for one in self.told.rules["limits"] if (one["limit_id"], one["plans"]) != name]
        if since is not None:
            limits.append({**row, "end": since})
        settings = plain_rules(*limits, {**row, "start": since, "allowed": allowed})
        self.do(lambda: self.subject.change_rules(settings, [self.payer]))
        self.told.rules = settings

    @precondition(lambda self: len(self.told.homes) > 1)
    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        """Two members are one person."""
        two = st.lists(st.sampled_from(self.told.homes), min_size=2, max_size=2, unique=True)
        source, into = data.draw(two, label="members")
        merge = NewMerge(
            merge_id=self.subject.new_id("mrg"),
            source=ref_of(self.payer, source),
            into=ref_of(self.payer, into),
            merged_by="o",
            reason="r",
        )
        self.do(lambda: self._merge(merge))
        self.told.merge(source, into)

    def _merge(self, merge: NewMerge) -> None:
        store: Any = self.subject.store
        with store.transaction(EVERY_PAYER) as tx:
            merged = merge_members(tx, self.subject.rules, self.subject.now, merge)
            tx.commit()
        self.show(merged.images)

    @rule(data=st.data(), content=contents(), decision=st.sampled_from(["accepted", "rejected"]))
    def decide(self, data: st.DataObject, content: Row, decision: Any) -> None:
        """A visit is reported twice; an operator says what it is, or of another the contrary of before."""
        twice = {**content, "npi": "1234567893", "status": "completed", "self_pay": False}
        names = [self.tell("c", "visit.recorded", self.subject.new_id("twin"), twice) for _ in range(2)]
        self.do(lambda: self.send(names))
        self.drain(1_000)
        visits = self.audit.asked()["visits"]
        doubted = {key for key, said in visits.items() if said["disposition"] == "possible_duplicate"}
        doubted |= self.told.decisions.keys() & visits.keys()
        if not doubted:
            return
        client, visit_id = data.draw(st.sampled_from(sorted(doubted)), label="visit")
        made = NewDecision(
            decision_id=self.subject.new_id("dec"),
            payer_id=self.payer,
            visit=VisitKey(client_id=client, visit_id=visit_id),
            decision=decision,
            decided_by="o",
            reason="r",
        )
        self.do(lambda: self._decide(made))
        self.told.decisions[client, visit_id] = decision

    def _decide(self, decision: NewDecision) -> None:
        store: Any = self.subject.store
        with store.transaction(EVERY_PAYER) as tx:
            images = decide_duplicate(tx, self.subject.rules, self.subject.now, decision)
            if images is None:
                return
            tx.commit()
        self.show(images)

    @rule(
        data=st.data(),
        plan_id=st.sampled_from(PLAN_IDS),
        on=dates,
        quantity=st.integers(1, 2),
        newer=often(True, False),
    )
    def open_balance(
        self, data: st.DataObject, plan_id: str, on: date, quantity: int, *, newer: bool
    ) -> None:
        """A vendor states what a member had used there: newly, or in an older file that comes late."""
        member = data.draw(st.sampled_from(self.told.homes), label="member")
        balance = OpeningBalance(
            plan_id=plan_id,
            limit_id="needling",
            service_date=on,
            quantity=quantity,
            source="vendor",
            sequence=1_000 + (self.steps if newer else -self.steps),
        )
        statement = OpeningStatement(
            statement_id=self.subject.new_id("ops"), ref=ref_of(self.payer, member), balance=balance
        )
        if self.do(lambda: self._state(statement)) in {"added", "replaced", "repeated"}:
            self.told.openings[member, plan_id, on] = {
                "member": member,
                "plan": plan_id,
                "limit_id": "needling",
                "date": on,
                "quantity": quantity,
                "source": "vendor",
                "sequence": balance.sequence,
            }

    def _state(self, statement: OpeningStatement) -> str:
        store: Any = self.subject.store
        with store.transaction(EVERY_PAYER) as tx:
            stated = state_opening_balances(tx, self.subject.rules, self.subject.now, [statement])
            tx.commit()
        self.show(stated.images)
        return stated.fates[0]

    @rule()
    def rebuild(self) -> None:
        """An operator rebuilds everybody and finds nothing to put right."""
        store: Any = self.subject.store
        group, cause = Group(members=frozenset(self.audit.refs)), Cause(kind="rebuild", id="test")
        found = self.do(lambda: rebuild_group(store, self.subject.rules, self.subject.clock, group, cause))
        assert (found.differing, found.visits_differing, found.entries) == ((), 0, 0)
        self.show(found.images)
