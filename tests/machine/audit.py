"""What has to hold after every step, whatever the step was (contract section 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.accounting.codec import key_from
from shared.accounting.reconcile_counters import compare_counters
from shared.accounting.verify_ledger import faults_in
from shared.domain.client import EVERY_PAYER
from shared.domain.records import MemberRef
from tests.machine.subject import Subject, ref_of
from tests.machine.told import EventName, Row, Told
from tests.model.reference import reference
from tests.state_bytes import rebuilt_state, stored_state

#: More visits than an example reports of one member.
_VISITS_MAX = 1_000


@dataclass(slots=True, kw_only=True)
class Audit:
    """Looks at everything that a subject keeps of one payer."""

    subject: Subject
    payer: str
    told: Told

    @property
    def refs(self) -> list[MemberRef]:
        """Every member by every name."""
        return [ref_of(self.payer, member) for member in self.told.members]

    # What there is

    def statuses(self) -> dict[EventName, str]:
        """What the inbox says of each event."""
        rows = self.subject.rows(
            "select client_id, event_id, status from visit_event_in_full where payer_id = %s", self.payer
        )
        return {(client, event): status for client, event, status in rows}

    def applied(self) -> set[EventName]:
        """The events that were applied."""
        return {name for name, status in self.statuses().items() if status == "applied"}

    def fresh(self) -> set[EventName]:
        """The events that wait and have not failed before: those that a decision settles first."""
        rows = self.subject.rows(
            "select e.client_id, e.event_id from visit_event_waiting w join visit_event e using (arrival)"
            " where w.payer_id = %s and w.attempts = 0",
            self.payer,
        )
        return {(client, event) for client, event in rows}

    def to_fold_again(self) -> bool:
        """Whether members wait to be folded again, so that what is stored is not the newest yet."""
        return bool(self.subject.rows("select 1 from refold_request where payer_id = %s", self.payer))

    def asked(self) -> Row:
        """What the reference model says of everything that was applied."""
        return reference(self.told.world(self.applied()))

    # What has to hold

    def check(self, member: str, *, thoroughly: bool) -> None:
        """Look at everything; at the units of one member; and `thoroughly` at a rebuild of all."""
        self.nothing_disappeared()
        if not self.to_fold_again():
            self.agrees_with_the_model()
            self.never_over()
        self.ledger_adds_up()
        self.counters_never_lie()
        self.every_unit_is_listed(ref_of(self.payer, self.told.home(member)))
        if thoroughly:
            self.is_what_a_rebuild_makes()

    def nothing_disappeared(self) -> None:
        """Every accepted event is there once, and the books of them add up (I1, I2, I7)."""
        statuses = self.statuses()
        assert statuses.keys() == self.told.events.keys()
        with self.subject.database.transaction([self.payer]) as tx:
            counts = tx.standing.event_counts()[self.payer]
        assert counts.is_complete
        found = Counter(statuses.values())
        assert counts.received == len(statuses)
        assert [counts.applied, counts.rejected, counts.pending, counts.dead] == [
            found[status] for status in ("applied", "rejected", "pending", "dead")
        ]

    def agrees_with_the_model(self) -> None:
        """Visits, holds and counts are what the independent model makes of the same (I4)."""
        asked = self.asked()
        visits = self.subject.rows(
            "select client_id, visit_id, disposition from visit where payer_id = %s", self.payer
        )
        assert {(client, visit): disposition for client, visit, disposition in visits} == {
            key: said["disposition"] for key, said in asked["visits"].items()
        }
        holds = self.subject.rows("select hold_id, state from hold where payer_id = %s", self.payer)
        assert dict(holds) == {hold_id: said["state"] for hold_id, said in asked["holds"].items()}
        assert {key: counts for key, counts in self._counts().items() if any(counts)} == {
            key: (sum(found["used"].values()), sum(found["held"].values()))
            for key, found in asked["accumulators"].items()
        }

    def _counts(self) -> dict[tuple[Any, ...], tuple[int, int]]:
        rows = self.subject.rows(
            "select member_id, plan_id, limit_id, basis, period_start, period_end, subject, used, held"
            " from accumulator where payer_id = %s",
            self.payer,
        )
        return {tuple(row[:7]): (row[7], row[8]) for row in rows}

    def never_over(self) -> None:
        """No accumulator has more than any rule and all overrides together allow (I3)."""
        for (member, plan, limit_id, basis, *_), (used, held) in self._counts().items():
            rows = [
                row["allowed"]
                for row in self.told.rules["limits"]
                if row["limit_id"] == limit_id and (row["plans"] is None or plan in row["plans"])
            ]
            granted = sum(
                grant["quantity"]
                for grant in self.told.overrides.values()
                if self.told.home(grant["member"]) == member and grant["limit_id"] == limit_id
            )
            assert basis == "rolling_days" or used + held <= max(rows) + granted

    def ledger_adds_up(self) -> None:
        """Chains are whole, versions without gaps, and sums are the accumulators (I4)."""
        with self.subject.database.transaction(EVERY_PAYER) as tx:
            assert tx.ledger.mismatches(self.refs) == []
            assert list(faults_in(tx.ledger.walk(self.refs))) == []

    def counters_never_lie(self) -> None:
        """A counter that is there shows its version's state; an older one is on its way (I5, I6)."""
        if self.subject.counters.away:
            return
        report = compare_counters(self.subject.database, self.subject.counters, self.refs)
        assert report.ahead == report.different == report.behind == ()

    def every_unit_is_listed(self, ref: MemberRef) -> None:
        """The units of the visits that are listed, with the opening balances, are those used (I14)."""
        with self.subject.database.transaction([self.payer]) as tx:
            visits = tx.visits.page(ref, None, None, None, _VISITS_MAX)
            balances = tx.visits.opening_balances(ref)
            stored = tx.books.accumulators([ref]).get(ref, [])
        listed = _units(visit.outcome for visit in visits)
        for one in stored:
            state = one.state
            assert state.used == listed.pop(state.key, 0) + state.opening
            stated = [b.quantity for b in balances if b.plan_id == state.key.plan_id]
            assert state.opening <= sum(stated)
        assert not any(listed.values())

    def is_what_a_rebuild_makes(self) -> None:
        """What was applied bit by bit is byte-equal to what is made from nothing (I4)."""
        if self.to_fold_again():
            return
        with self.subject.database.transaction(EVERY_PAYER) as tx:
            assert stored_state(tx, self.refs) == rebuilt_state(tx, self.subject.rules, self.refs)


def _units(outcomes: Iterable[Mapping[str, Any]]) -> Counter[Any]:
    units: Counter[Any] = Counter()
    for outcome in outcomes:
        for posting in outcome["postings"]:
            units[key_from(posting)] += posting["units"]
    return units
