"""Rebuilding members' states from nothing: from applied events, holds, overrides, enrollments and rules.

A rebuild looks at no stored state but to compare it. What differs is posted to the ledger with its
cause and written; a member that is as it should be keeps its version (contract I4).

Locks are taken in the order that draining takes them: shards, payers, members. Most members need only
their own row. A visit that is not as its events say needs its shard too, since draining reads visits
before it locks members; one that belongs to another member needs that member. Such a group is widened
and begun again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.accounting.as_posted import FoldedVisit, MemberRowSet, as_posted
from shared.accounting.book import MemberBook, empty
from shared.accounting.codec import hold_outcome_to, visit_outcome_to
from shared.accounting.drain import DRAIN_SECONDS
from shared.accounting.operator_ports import OperatorDatabase, OperatorTransaction
from shared.accounting.posting import NOT_KNOWN
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import ConcurrentChange, Conflict
from shared.domain.history import History, MemberState, Rules
from shared.domain.member_rows import LedgerSums, MemberRow
from shared.domain.records import (
    Cause,
    CounterImage,
    MemberChanges,
    MemberRef,
    SavedVisit,
    StoredMember,
    StoredVisit,
)
from shared.domain.visit import DuplicateDecision, VisitEvent, VisitKey, VisitName, fold_events
from shared.failpoints import Step, around
from shared.ports import Clock, RulesSource

#: A group grows by what its visits lead to; one that goes on growing is given up.
WIDENINGS_MAX = 8


class GroupKeepsGrowing(Conflict):
    """The members of these visits kept changing; begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is rebuilt together: members, visits of which no member may know, and shards to keep still."""

    members: frozenset[MemberRef] = frozenset()
    visits: frozenset[VisitName] = frozenset()
    shards: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild found. `differing` are members whose stored state was not what it should be.

    `entries` counts the ledger entries that were posted for them, `visits` the visits that were
    folded, and `images` are the counters of all members, to be shown after the commit.
    """

    members: int = 0
    visits: int = 0
    differing: tuple[MemberRef, ...] = ()
    visits_differing: int = 0
    entries: int = 0
    images: tuple[CounterImage, ...] = ()


def rebuild_group(
    database: OperatorDatabase,
    rules: RulesSource,
    clock: Clock,
    group: Group,
    cause: Cause,
    *,
    keep: bool = True,
) -> Rebuilt:
    """Rebuild a group in one commit; with `keep` False only find what differs.

    Raises StoreUnavailable, having changed nothing, and GroupKeepsGrowing. Safe to run twice.
    """
    for _ in range(WIDENINGS_MAX):
        try:
            found = _rebuild_once(database, rules, clock, group, cause, keep=keep)
        except ConcurrentChange:
            continue
        if isinstance(found, Rebuilt):
            return found
        group = found
    raise GroupKeepsGrowing


def _rebuild_once(
    database: OperatorDatabase,
    rules: RulesSource,
    clock: Clock,
    group: Group,
    cause: Cause,
    *,
    keep: bool,
) -> Rebuilt | Group:
    with database.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
        found = rebuild(tx, rules, clock(), group, cause)
        if keep and isinstance(found, Rebuilt):
            with around(Step.REBUILD_COMMIT):
                tx.commit()
    return found


def rebuild(
    tx: OperatorTransaction, rules: RulesSource, now: datetime, group: Group, cause: Cause
) -> Rebuilt | Group:
    """Rebuild a group in this transaction, whose commit is the caller's.

    Answers with a wider group, having changed nothing, where this one does not hold all that its
    visits lead to: that is to be tried in another transaction, since locks come in order.
    """
    tx.inbox.wait_for_shards(sorted(group.shards))
    tx.books.lock_payers(sorted({ref.payer_id for ref in group.members}))
    workshop = _Workshop(tx, rules.current(tx), now, group)
    wider = workshop.wider()
    return wider if wider != group else workshop.rebuild(cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One visit: its row, if there is one, what its events add up to, and in whose book it stands.

    `row_owner` is the member that the row names, `row_home` the one in whose book it is for that.
    """

    row: StoredVisit | None
    folded: FoldedVisit
    row_owner: str | None
    row_home: MemberRef | None
    home: MemberRef | None

    @property
    def is_right(self) -> bool:
        """Whether the row says what the events add up to."""
        return self.row is not None and (self.row.visit, self.row.last_event, self.row_owner) == (
            self.folded.visit,
            self.folded.last_event,
            self.folded.visit.member_id,
        )


class _Workshop:
    """A group opened: members locked, visits folded from their events."""

    def __init__(self, tx: OperatorTransaction, rules: Rules, now: datetime, group: Group) -> None:
        self._tx = tx
        self._rules = rules
        self._now = now
        self._group = group
        self._rows = tx.rebuilding.lock(group.members)
        homes = [row.ref for row in self._rows.values() if row.merged_into is None]
        self._stored = tx.books.read(homes)
        self._visits = self._find_visits()
        self._by_home: dict[MemberRef, dict[VisitKey, _Found]] = defaultdict(dict)
        for (_, key), found in self._visits.items():
            if found.home is not None:
                self._by_home[found.home][key] = found

    # The visits

    def _find_visits(self) -> dict[VisitName, _Found]:
        rows: dict[VisitName, StoredVisit] = {
            (ref.payer_id, key): visit
            for ref, stored in self._stored.items()
            for key, visit in stored.visits.items()
        }
        rows |= self._tx.books.find_visits(self._group.visits - rows.keys())
        names = rows.keys() | self._group.visits
        events = self._tx.rebuilding.events_of(names)
        decided = self._tx.rebuilding.decisions_on(names)
        owners = self._tx.rebuilding.owners_of(names)
        folded = {}
        for name in names:
            row = rows.get(name)
            decision = decided.get(name, row.visit.duplicate_decision if row else None)
            folded[name] = fold_visit(
                name[1], events.get(name, []), decision, revision=row.revision if row else 0
            )
        homes = self._homes(
            [(name[0], owner) for name, owner in owners.items()]
            + [(name[0], found.visit.member_id) for name, found in folded.items()]
        )
        return {
            name: _Found(
                row=rows.get(name),
                folded=folded[name],
                row_owner=owners.get(name),
                row_home=homes.get((name[0], owners.get(name))),
                home=homes.get((name[0], folded[name].visit.member_id)),
            )
            for name in names
        }

    def _homes(self, named: Iterable[tuple[str, str | None]]) -> dict[tuple[str, str | None], MemberRef]:
        """In whose book the visits that name each of these (payer, member) stand."""
        refs = {MemberRef(payer_id=payer, member_id=member) for payer, member in named if member is not None}
        current = {ref: row.home for ref, row in self._rows.items()}
        current |= self._tx.books.current_names(refs - current.keys())
        return {(ref.payer_id, ref.member_id): current.get(ref, ref) for ref in refs}

    def wider(self) -> Group:
        """The group with everything that its visits lead to."""
        found = self._visits.values()
        homes = {home for visit in found for home in (visit.home, visit.row_home) if home is not None}
        unlocked = [name for name, visit in self._visits.items() if not visit.is_right]
        return replace(
            self._group,
            members=self._group.members | homes,
            shards=self._group.shards | set(self._tx.rebuilding.shards_of(unlocked) if unlocked else ()),
            # A visit that leaves a member in the first try is still to be found in the second.
            visits=self._group.visits | set(unlocked),
        )

    # The members

    def rebuild(self, cause: Cause) -> Rebuilt:
        """Fold every member and save what differs from the ledger and the rows."""
        homes = [ref for ref, row in self._rows.items() if row.merged_into is None]
        due = self._tx.books.requested_refolds(homes)
        ledgers = self._tx.rebuilding.ledger_sums(self._rows)
        accumulators = self._tx.books.accumulators(self._rows)
        changes: list[MemberChanges] = []
        images: list[CounterImage] = []
        for ref, row in self._rows.items():
            rows = MemberRowSet(
                accumulators={stored.state.key: stored for stored in accumulators.get(ref, ())},
                visits=self._rows_of(ref),
                holds=self._stored[ref].holds if ref in self._stored else {},
            )
            rebuilt = cause.kind == "rebuild"
            why = Cause(kind="refold", id=due[ref]) if ref in due and rebuilt else cause
            changed, image = self._rebuild_member(row, rows, ledgers.get(ref, LedgerSums()), why)
            images.append(image)
            if changed is not None:
                changes.append(changed)
        self._tx.books.save(changes)
        self._tx.books.refolded(list(due))
        unattributed = self._save_unattributed()
        wrong = [change for change in changes if change.ref not in due]
        return Rebuilt(
            members=len(self._rows),
            visits=len(self._visits),
            differing=tuple(change.ref for change in wrong),
            visits_differing=unattributed + sum(not found.is_right for found in self._visits.values()),
            entries=sum(len(change.entries) for change in wrong),
            images=tuple(images),
        )

    def _rows_of(self, ref: MemberRef) -> dict[VisitKey, StoredVisit]:
        """The rows that are right of the visits in this member's book."""
        return {
            key: found.row
            for key, found in self._by_home[ref].items()
            if found.row is not None and found.is_right
        }

    def _history(self, row: MemberRow) -> tuple[History, dict[VisitKey, FoldedVisit]]:
        stored = self._stored.get(row.ref)
        if stored is None:
            # Everything of a merged member is its new home's.
            payer_id, member_id = row.ref.payer_id, row.ref.member_id
            return History(payer_id=payer_id, member_id=member_id, spans=(), plans={}), {}
        folded = {key: found.folded for key, found in self._by_home[row.ref].items()}
        return replace(stored.history, visits=tuple(one.visit for one in folded.values())), folded

    def _rebuild_member(
        self, row: MemberRow, rows: MemberRowSet, ledger: LedgerSums, cause: Cause
    ) -> tuple[MemberChanges | None, CounterImage]:
        history, folded = self._history(row)
        stored = as_posted(row, history, folded, rows, ledger)
        book = MemberBook(stored, self._rules, self._now)
        if not _agrees(stored, rows, book.fold.state()):
            book.refold(stored.history, cause)
        changes = book.changes()
        if changes is not None:
            # Holds that are no longer the member's were folded to take their units back, no more.
            kept = {hold_id: hold for hold_id, hold in changes.holds.items() if hold_id in rows.holds}
            changes = replace(changes, holds=kept)
        return changes, book.image()

    def _save_unattributed(self) -> int:
        """Write the visits of which no member is known, where their rows say something else."""
        right = (NOT_KNOWN.disposition, None, visit_outcome_to(NOT_KNOWN))
        wrong = 0
        for (payer_id, _), found in self._visits.items():
            if found.home is not None:
                continue
            row = found.row
            if row is None or (row.disposition, row.plan_id, row.outcome) != right or not found.is_right:
                folded = found.folded
                saved = SavedVisit(
                    visit=folded.visit,
                    last_event=folded.last_event,
                    outcome=NOT_KNOWN,
                    revision=folded.revision,
                )
                self._tx.books.save_unattributed(payer_id, [saved])
                wrong += found.is_right
        return wrong


def fold_visit(
    key: VisitKey, events: Sequence[VisitEvent], decision: DuplicateDecision | None, *, revision: int
) -> FoldedVisit:
    """What the applied events of one visit add up to; `revision` is that of its row, 0 if it has none."""
    return FoldedVisit(
        visit=fold_events(key, events, decision),
        last_event=max((event.arrival for event in events), default=0),
        revision=revision,
    )


def _agrees(posted: StoredMember, rows: MemberRowSet, state: MemberState) -> bool:
    """Whether the ledger, the rows and the fold all say the same, so that nothing has to be written."""
    if dict(posted.accumulators) != dict(rows.accumulators) or dict(posted.holds) != dict(rows.holds):
        return False
    if dict(posted.visits) != dict(rows.visits):
        return False
    return (
        _accumulators_agree(rows, state)
        and all(
            (row.disposition, row.plan_id, row.outcome)
            == (outcome.disposition, outcome.plan_id, visit_outcome_to(outcome))
            for key, outcome in state.visits.items()
            for row in [rows.visits[key]]
        )
        and all(
            (rows.holds[hold_id].state, rows.holds[hold_id].outcome)
            == (outcome.state, hold_outcome_to(outcome))
            for hold_id, outcome in state.holds.items()
        )
    )


def _accumulators_agree(rows: MemberRowSet, state: MemberState) -> bool:
    if state.accumulators.keys() - rows.accumulators.keys():
        return False
    return all(
        (stored.state, stored.in_use) == (state.accumulators.get(key, empty(key)), key in state.accumulators)
        for key, stored in rows.accumulators.items()
    )
