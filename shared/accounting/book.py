"""A member's book: the fold of the history beside what the ledger says, and the entries between them.

Whatever happens to a member ends here: the history changes, it is folded (or the fold is extended),
and the difference to what was posted before becomes ledger entries, decreases first, so that no
version of an accumulator is ever over its limit (I3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import orjson

from shared.accounting.codec import hold_outcome_to, key_from, visit_outcome_to
from shared.accounting.receipt_body import Effect
from shared.domain.accumulator import Accumulator, AccumulatorKey
from shared.domain.adjudication import Fold
from shared.domain.history import History, Posting, Rules, VisitOutcome
from shared.domain.records import (
    Cause,
    CounterImage,
    LedgerEntry,
    MemberChanges,
    SavedVisit,
    StoredAccumulator,
    StoredHold,
    StoredMember,
)
from shared.domain.visit import Visit, VisitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Units to move in one accumulator, for one visit, one hold, or an opening balance."""

    key: AccumulatorKey
    on: date
    used: int = 0
    held: int = 0
    visit: VisitKey | None = None
    hold_id: str | None = None


class MemberBook:
    """Applies changes to one locked member and collects what must be saved."""

    def __init__(self, stored: StoredMember, rules: Rules, recorded_at: datetime) -> None:
        """Open the book on the stored state; `recorded_at` stamps the entries this batch makes."""
        self._stored = stored
        self._rules = rules
        self._recorded_at = recorded_at
        self._fold = Fold(stored.history, rules)
        self._accumulators: dict[AccumulatorKey, StoredAccumulator] = dict(stored.accumulators)
        self._visits: dict[VisitKey, tuple[str, str | None, Mapping[str, Any]]] = {
            key: (visit.disposition, visit.plan_id, visit.outcome) for key, visit in stored.visits.items()
        }
        self._holds: dict[str, StoredHold] = dict(stored.holds)
        self._last_events: dict[VisitKey, int] = {key: v.last_event for key, v in stored.visits.items()}
        self._revisions: dict[VisitKey, int] = {key: v.revision for key, v in stored.visits.items()}
        self._entries: list[LedgerEntry] = []
        self._head = stored.ledger_head
        self._touched: dict[AccumulatorKey, None] = {}
        # With what changed each, where that was something else than an event: that is listed by itself.
        self._touched_visits: dict[VisitKey, Cause | None] = {}
        self._touched_holds: dict[str, None] = {}

    @property
    def history(self) -> History:
        """The history as it stands after the changes so far."""
        return self._fold.history

    @property
    def fold(self) -> Fold:
        """The fold of that history."""
        return self._fold

    def outcome(self, key: VisitKey) -> VisitOutcome | None:
        """What has become of one visit."""
        return self._fold.outcome(key)

    # Changes

    def put(self, visit: Visit, last_event: int, revision: int, cause: Cause) -> tuple[Effect, ...]:
        """A visit as it now is: new to the member, or changed. Returns what moved for it.

        `revision` is that of its row, 0 if it has none yet.
        """
        self._last_events[visit.key] = last_event
        self._revisions[visit.key] = revision
        self._touched_visits[visit.key] = None
        claimed = self._claimed(visit.key)
        before = dict(self._accumulators)
        if self._fold.append(visit):
            self._record(cause, [visit.key])
        else:
            others = tuple(v for v in self.history.visits if v.key != visit.key)
            self.refold(replace(self.history, visits=(*others, visit)), cause)
        claimed |= self._claimed(visit.key)
        return tuple(
            Effect(
                key=key,
                used_before=before[key].state.used if key in before else 0,
                used_after=self._used(key),
                allowed=allowed,
            )
            for key, allowed in claimed.items()
        )

    def remove(self, key: VisitKey, cause: Cause) -> tuple[Effect, ...]:
        """A visit that was corrected away to another member. Returns what moved for it."""
        keys = self._claimed(key)
        before = {claimed: self._used(claimed) for claimed in keys}
        others = tuple(visit for visit in self.history.visits if visit.key != key)
        self._touched_visits.pop(key, None)
        self.refold(replace(self.history, visits=others), cause)
        return tuple(
            Effect(key=claimed, used_before=used, used_after=self._used(claimed), allowed=keys[claimed])
            for claimed, used in before.items()
        )

    def refold(self, history: History, cause: Cause) -> None:
        """Fold a changed history from nothing and post the difference."""
        self._fold = Fold(history, self._rules)
        self._record(cause, None)

    def changes(self) -> MemberChanges | None:
        """What must be saved; None when nothing changed."""
        if not (self._touched or self._touched_visits or self._touched_holds):
            return None
        visits = {visit.key: visit for visit in self.history.visits}
        return MemberChanges(
            ref=self._stored.ref,
            version=self._stored.version + 1,
            ledger_entries=self._stored.ledger_entries + len(self._entries),
            ledger_head=self._head,
            accumulators=tuple(self._accumulators[key] for key in self._touched),
            entries=tuple(self._entries),
            visits=tuple(
                SavedVisit(
                    visit=visits[key],
                    last_event=self._last_events[key],
                    outcome=outcome,
                    revision=self._revisions[key],
                    cause=cause,
                )
                for key, cause in self._touched_visits.items()
                if (outcome := self._fold.outcome(key)) is not None
            ),
            holds={hold_id: self._holds[hold_id] for hold_id in self._touched_holds},
        )

    def image(self) -> CounterImage:
        """What the counter shows once these changes are saved."""
        changed = bool(self._touched or self._touched_visits or self._touched_holds)
        return CounterImage(
            ref=self._stored.ref,
            version=self._stored.version + int(changed),
            accumulators=tuple(stored for stored in self._accumulators.values() if stored.in_use),
        )

    # The difference between the fold and what was posted

    def _used(self, key: AccumulatorKey) -> int:
        stored = self._accumulators.get(key)
        return stored.state.used if stored else 0

    def _claimed(self, key: VisitKey) -> dict[AccumulatorKey, int]:
        """The accumulators a visit was weighed against, with what was allowed."""
        outcome = self._fold.outcome(key)
        return {claimed.key: claimed.allowed for claimed in outcome.claims} if outcome else {}

    def _record(self, cause: Cause, only: list[VisitKey] | None) -> None:
        """Post what the fold says beyond what is recorded: of `only` these visits, or of everything."""
        state = self._fold.state() if only is None else None
        movements: list[Movement] = []
        visits: Iterable[VisitKey] = only or ()
        if state is not None:
            visits = dict.fromkeys((*self._visits, *state.visits))
        touched: dict[AccumulatorKey, None] = {}
        for visit in visits:
            movements += self._visit_movements(visit, touched, None if cause.is_event else cause)
        if state is not None:
            movements += self._hold_movements()
            movements += self._opening_movements(state.accumulators)
            touched.update(dict.fromkeys((*self._accumulators, *state.accumulators)))
        fresh = {key: self._fold.accumulator(key) for key in touched}
        for movement in sorted(movements, key=lambda m: m.used + m.held):
            self._post(movement, fresh.get(movement.key), cause)
        for key, accumulator in fresh.items():
            self._keep(key, accumulator)

    def _visit_movements(
        self, key: VisitKey, touched: dict[AccumulatorKey, None], cause: Cause | None
    ) -> list[Movement]:
        old = self._visits.get(key)
        outcome = self._fold.outcome(key)
        encoded = visit_outcome_to(outcome) if outcome else None
        new = (outcome.disposition, outcome.plan_id, encoded) if outcome and encoded is not None else None
        if new == old:
            return []
        units = _difference(old[2] if old else None, outcome.postings if outcome else ())
        for claimed in outcome.claims if outcome else ():
            touched[claimed.key] = None
        touched.update(dict.fromkeys(name for name, _ in units))
        if new is None:
            self._visits.pop(key, None)
        else:
            self._visits[key] = new
            self._touched_visits.setdefault(key, cause)
        return [
            Movement(key=name, on=on, used=moved, visit=key) for (name, on), moved in units.items() if moved
        ]

    def _hold_movements(self) -> list[Movement]:
        movements: list[Movement] = []
        for hold in self.history.holds:
            outcome = self._fold.hold(hold.hold_id)
            new = StoredHold(state=outcome.state, outcome=hold_outcome_to(outcome))
            old = self._holds.get(hold.hold_id)
            if new == old:
                continue
            units = _difference(old.outcome if old else None, outcome.postings)
            self._holds[hold.hold_id] = new
            self._touched_holds[hold.hold_id] = None
            movements += [
                Movement(key=key, on=on, held=moved, hold_id=hold.hold_id)
                for (key, on), moved in units.items()
                if moved
            ]
        return movements

    def _opening_movements(self, fresh: Mapping[AccumulatorKey, Accumulator]) -> list[Movement]:
        movements = []
        for key in dict.fromkeys((*self._accumulators, *fresh)):
            old = self._accumulators[key].state.opening if key in self._accumulators else 0
            new = fresh[key].opening if key in fresh else 0
            if new != old:
                movements.append(Movement(key=key, on=self._opened_on(key), used=new - old))
        return movements

    def _opened_on(self, key: AccumulatorKey) -> date:
        """The date an opening balance counts on; the period's start once no balance names it any more."""
        names = (key.plan_id, key.limit_id)
        dates = (
            balance.service_date
            for balance in self.history.opening_balances
            if (balance.plan_id, balance.limit_id) == names and key.period.contains(balance.service_date)
        )
        return min(dates, default=key.period.start)

    def _post(self, movement: Movement, fresh: Accumulator | None, cause: Cause) -> None:
        """Write one ledger entry and move the running state with it."""
        key = movement.key
        old = self._accumulators.get(key) or StoredAccumulator(state=empty(key), version=0, in_use=False)
        used, held = old.state.used + movement.used, old.state.held + movement.held
        allowed = fresh.allowed if fresh else old.state.allowed
        entry_no = self._stored.ledger_entries + len(self._entries) + 1
        client_id, visit_id = movement.visit or (None, None)
        counts = movement.used, movement.held, used, held, allowed
        entry = chained(
            self._head,
            (
                *(entry_no, *key.name, old.version + 1),
                *(client_id, visit_id, movement.hold_id, movement.on),
                *(*counts, cause.kind, cause.id, self._recorded_at),
            ),
        )
        self._head = entry.hash
        self._entries.append(entry)
        self._accumulators[key] = replace(
            old, state=replace(old.state, used=used, held=held), version=entry.version
        )

    def _keep(self, key: AccumulatorKey, fresh: Accumulator | None) -> None:
        """Bring the recorded state of an accumulator to what the fold says."""
        old = self._accumulators.get(key)
        state = fresh if fresh is not None else empty(key)
        new = StoredAccumulator(state=state, version=old.version if old else 0, in_use=fresh is not None)
        was = self._stored.accumulators.get(key)
        if old is not None and (old.state.used, old.state.held) != (state.used, state.held):
            raise AssertionError("the ledger's entries do not add up to the fold")
        self._accumulators[key] = new
        if new != was:
            self._touched[key] = None


def _difference(
    old: Mapping[str, Any] | None, new: tuple[Posting, ...]
) -> dict[tuple[AccumulatorKey, date], int]:
    """The units to move in each accumulator and date, from the postings stored to those that hold now."""
    units: dict[tuple[AccumulatorKey, date], int] = {}
    for posting in old["postings"] if old else ():
        name = key_from(posting), date.fromisoformat(posting["on"])
        units[name] = units.get(name, 0) - posting["units"]
    for posting in new:
        name = posting.key, posting.on
        units[name] = units.get(name, 0) + posting.units
    return units


def empty(key: AccumulatorKey) -> Accumulator:
    """An accumulator that nothing was counted in."""
    return Accumulator(
        key=key, used=0, held=0, granted=0, opening=0, carried=0, visits=0, allowed=0, days=(), held_days=()
    )


def chained(before: bytes, fields: tuple[Any, ...]) -> LedgerEntry:
    """The entry that follows the one with the hash `before`.

    `fields` are all of `LedgerEntry`'s but its hash, in its order.
    """
    return LedgerEntry._make((*fields, hashlib.sha256(before + orjson.dumps(fields)).digest()))


def chain_hash(before: bytes, entry: LedgerEntry) -> bytes:
    """The hash of an entry in its member's chain: SHA-256 over the hash before and the entry's fields."""
    return chained(before, entry[:-1]).hash
