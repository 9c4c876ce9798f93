"""Applying events and refolds to members' books, within one transaction that the caller owns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from shared.accounting.book import MemberBook
from shared.accounting.codec import event_from
from shared.accounting.plain_lane import PlainFolded, PlainLane, PlainTurns
from shared.accounting.receipt_body import Effect, receipt_outcome
from shared.domain.errors import Conflict
from shared.domain.event_reasons import why_rejected, why_without_effect
from shared.domain.history import Rules, VisitOutcome
from shared.domain.inbox import ApplyResult, PendingEvent
from shared.domain.member_rows import MemberRow
from shared.domain.qualification import VISIT_NOT_KNOWN, VOIDED
from shared.domain.records import Cause, CounterImage, MemberRef, SavedVisit, StoredVisit, in_order
from shared.domain.visit import Visit, VisitEvent, VisitName, fold_events
from shared.ports import RulesSource, Transaction

#: Of a visit of which only corrections or voids are here.
NOT_KNOWN = VisitOutcome(disposition="not_countable", reasons=(VISIT_NOT_KNOWN,))
_VOIDED = VisitOutcome(disposition="voided", reasons=(VOIDED,))

#: The members that an event names, each once, in no order; mostly one.
NamedMembers = tuple[MemberRef, ...]


class MemberMerged(Conflict):
    """This member was merged into another one; speak of that one instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A visit as it stands in this batch, with the last of its applied events and its row's revision."""

    visit: Visit
    last_event: int
    revision: int


class Posting:
    """The books of every member a batch touches, opened together and saved together."""

    def __init__(
        self, tx: Transaction, rules: RulesSource, now: datetime, turns: PlainTurns | None = None
    ) -> None:
        """Begin with nothing open. `turns` of plain visits are remembered beyond this batch."""
        self._tx = tx
        self._rules_source = rules
        self._now = now
        self._turns = turns
        self._refolded: list[MemberRef] = []
        self._books: dict[MemberRef, MemberBook] = {}
        # Whose book a member's name leads to: a merged member's is that of the one it was merged into.
        self._names: dict[MemberRef, MemberRef] = {}
        self._visits: dict[VisitName, _Known] = {}
        self._applied: dict[VisitName, list[VisitEvent]] = {}
        self._unattributed: dict[VisitName, SavedVisit] = {}
        self._plain: list[PlainFolded] = []

    def open(self, refs: Iterable[MemberRef]) -> None:
        """Lock and load members. Called once, before anything is applied, so that locks stay in order.

        Plans and rules cannot change from here to the end of the transaction. A member that was to be
        folded again because they changed before is folded first. Raises MemberMerged for one that was
        merged into another.
        """
        wanted = set(refs)
        self._open(wanted)
        if any(self._names[ref] != ref for ref in wanted):
            raise MemberMerged

    def _open(self, refs: Iterable[MemberRef]) -> None:
        rules, rows = self._lock(refs)
        self._load(rows, rules)

    def _lock(self, refs: Iterable[MemberRef]) -> tuple[Rules, Mapping[MemberRef, MemberRow]]:
        """Keep plans and rules as they are, and lock members; each name with the row that it leads to."""
        wanted = in_order(refs)
        self._tx.books.lock_payers({ref.payer_id for ref in wanted})
        rules = self._rules_source.current(self._tx)
        return rules, self._tx.books.lock(wanted)

    def _load(self, rows: Mapping[MemberRef, MemberRow], rules: Rules) -> None:
        """Open the books of locked members."""
        if not rows:
            return
        for ref, stored in self._tx.books.load(rows).items():
            self._names[ref] = stored.ref
            if stored.ref not in self._books:
                self._books[stored.ref] = MemberBook(stored, rules, self._now)
        for ref, reason in self._tx.books.requested_refolds({*self._names, *self._books}).items():
            self.refold(ref, reason)

    def apply_all(self, events: Sequence[PendingEvent], also: Iterable[MemberRef] = ()) -> list[ApplyResult]:
        """Lock and load every member that these events belong to, and apply them, in arrival order.

        In the place of a member that was merged into another comes that other. `also` are loaded too.
        A member of whom there are only plain visits is counted without loading the history. The results
        are in arrival order, which may be another than before: see `_in_turn`.
        """
        members = self._members_of(events)
        refs = {ref for named in members for ref in named}.union(also)
        if not refs:
            return [self.apply(event) for event in events]
        rules, rows = self._lock(refs)
        events, members = self._in_turn(events, members, rows)
        plain = _plain_members(events, members, self._visits.keys(), also)
        results = self._apply_plain(plain, rows, rules) if plain else {}
        taken = {ref for ref, folded in plain.items() if folded[0].arrival in results}
        self._load({ref: row for ref, row in rows.items() if ref not in taken}, rules)
        for event in events:
            if event.arrival not in results:
                results[event.arrival] = self.apply(event)
        return [results[event.arrival] for event in events]

    def _apply_plain(
        self,
        plain: Mapping[MemberRef, Sequence[PendingEvent]],
        rows: Mapping[MemberRef, MemberRow],
        rules: Rules,
    ) -> dict[int, ApplyResult]:
        """Count the plain visits of those members where nothing else is to be looked at."""
        asks = {
            ref: [date.fromisoformat(event.content["service_date"]) for event in of_member if event.content]
            for ref, of_member in plain.items()
            if rows[ref].ref == ref and rows[ref].last_arrival < of_member[0].arrival
        }
        members, plans = self._tx.books.plain(asks)
        lane = PlainLane(rules, plans, self._now, self._turns)
        results = {}
        for ref, member in members.items():
            folded = lane.fold(rows[ref], member, plain[ref])
            if folded is not None:
                self._plain.append(folded)
                results.update({result.arrival: result for result in folded.results})
        return results

    def open_for(self, events: Sequence[PendingEvent], also: Iterable[MemberRef] = ()) -> list[PendingEvent]:
        """Lock and load every member that these events, or the visits they speak of, belong to.

        In the place of a member that was merged into another comes that other. Returns the events as they
        are to be applied, in arrival order: see `_in_turn`.
        """
        members = self._members_of(events)
        rules, rows = self._lock({ref for named in members for ref in named}.union(also))
        turns, _ = self._in_turn(events, members, rows)
        self._load(rows, rules)
        return turns

    def _in_turn(
        self,
        events: Sequence[PendingEvent],
        members: Sequence[NamedMembers],
        rows: Mapping[MemberRef, MemberRow],
    ) -> tuple[list[PendingEvent], list[NamedMembers]]:
        """Events, with the members of each, in arrival order, once those overtaken are numbered anew.

        An event that was numbered before another but committed after it may find the other's visit
        counted, and its sender told so. It comes after it then, or it would push it out: both came at
        the same time, so nobody can say which was first.
        """
        suspects = [
            event.arrival
            for event, named in zip(events, members, strict=True)
            for ref in named
            if event.arrival <= rows[ref].last_arrival and event.type == "visit.recorded"
        ]
        anew = self._tx.inbox.number_anew(suspects) if suspects else {}
        if not anew:
            return list(events), list(members)
        numbered = [replace(event, arrival=anew.get(event.arrival, event.arrival)) for event in events]
        turns = sorted(zip(numbered, members, strict=True), key=lambda turn: turn[0].arrival)
        return [event for event, _ in turns], [named for _, named in turns]

    def _members_of(self, events: Sequence[PendingEvent]) -> list[NamedMembers]:
        """The members that each event, or the visit that it speaks of, belongs to, each once."""
        names = dict.fromkeys((event.payer_id, event.key) for event in events if event.visit_stored)
        found = self._tx.books.find_visits(names) if names else {}
        for name, stored in found.items():
            self._remember(name, stored)
        # A member's name is a plain tuple to whoever looks it up, so one object serves all that name it.
        alone: dict[tuple[str, str], NamedMembers] = {}
        members: list[NamedMembers] = []
        for event in events:
            named: NamedMembers = ()
            if event.content is not None:
                pair = event.payer_id, event.content["member_id"]
                named = alone.get(pair) or alone.setdefault(pair, (MemberRef._make(pair),))
            stored_visit = found.get((event.payer_id, event.key)) if event.visit_stored else None
            if stored_visit is not None:
                named = tuple({*named, *self._of_stored(event, stored_visit)})
            members.append(named)
        return members

    def _of_stored(self, event: PendingEvent, stored: StoredVisit) -> Iterator[MemberRef]:
        """The members to whom a stored visit belongs, or may belong once this event of it is applied."""
        if stored.visit.member_id is not None:
            yield MemberRef(payer_id=event.payer_id, member_id=stored.visit.member_id)
        if event.arrival < stored.last_event:
            yield from self._ever_named(event)

    def _ever_named(self, late: PendingEvent) -> list[MemberRef]:
        """The members that events of a visit name, to any of whom one that is applied late may bring it."""
        earlier = self._tx.inbox.applied_events(late.payer_id, late.key)
        return [
            MemberRef(payer_id=late.payer_id, member_id=event.content.member_id)
            for event in earlier
            if event.content is not None
        ]

    def book(self, ref: MemberRef) -> MemberBook:
        """An open member's book, or that of the member it was merged into."""
        return self._books[self._names[ref]]

    def refold(self, ref: MemberRef, reason: str) -> None:
        """Fold a member again, from what is stored now."""
        book = self._books[self._names.get(ref, ref)]
        book.refold(book.history, Cause(kind="refold", id=reason))
        self._refolded.append(ref)

    def apply(self, pending: PendingEvent) -> ApplyResult:
        """Apply one event to its visit and to every member that it moves.

        A second `visit.recorded` of a visit is rejected; everything else is applied, whatever its
        effect (contract section 4).
        """
        event = event_from(pending)
        name = (pending.payer_id, pending.key)
        known = self._visits.get(name)
        visit = known.visit if known else Visit(key=pending.key)
        if not visit.accepts(event):
            outcome = self._outcome_of(pending.payer_id, visit)
            return _result(pending, "rejected", replace(outcome, reasons=(why_rejected(visit),)), ())
        if known is not None and event.arrival < known.last_event:
            # Those of this batch are not finished yet, so the inbox does not know them as applied.
            earlier = self._tx.inbox.applied_events(pending.payer_id, pending.key)
            earlier = [*earlier, *self._applied.get(name, ())]
            changed = fold_events(pending.key, [*earlier, event], visit.duplicate_decision)
        else:
            changed = visit.after(event)
        last_event = max(event.arrival, known.last_event if known else 0)
        now = _Known(visit=changed, last_event=last_event, revision=known.revision if known else 0)
        self._visits[name] = now
        self._applied.setdefault(name, []).append(event)
        effects = self._move(pending.payer_id, visit, now, event)
        outcome = self._outcome_of(pending.payer_id, changed)
        if without := why_without_effect(event, changed):
            outcome = replace(outcome, reasons=(*outcome.reasons, *without))
        return _result(pending, "applied", outcome, effects)

    def _move(self, payer_id: str, before: Visit, known: _Known, event: VisitEvent) -> tuple[Effect, ...]:
        """Bring the books of the visit's members, the one before and the one after, to the visit."""
        after = known.visit
        cause = Cause(kind=event.type, id=event.event_id)
        effects: tuple[Effect, ...] = ()
        left, reached = self._book_of(payer_id, before), self._book_of(payer_id, after)
        if left is not None and left is not reached:
            effects = left.remove(before.key, cause)
        if reached is None:
            outcome = _VOIDED if after.voided and after.known else NOT_KNOWN
            saved = SavedVisit(
                visit=after, last_event=known.last_event, outcome=outcome, revision=known.revision
            )
            self._unattributed[payer_id, after.key] = saved
            return effects
        self._unattributed.pop((payer_id, after.key), None)
        return (*effects, *reached.put(after, known.last_event, known.revision, cause))

    def _book_of(self, payer_id: str, visit: Visit) -> MemberBook | None:
        """The book that a visit stands in; None while nothing has said whose it is."""
        if visit.member_id is None:
            return None
        return self.book(MemberRef(payer_id=payer_id, member_id=visit.member_id))

    def _outcome_of(self, payer_id: str, visit: Visit) -> VisitOutcome:
        book = self._book_of(payer_id, visit)
        return (book.outcome(visit.key) if book else None) or NOT_KNOWN

    def save(self) -> list[CounterImage]:
        """Write all changes; the counters of the members that changed, to be shown after the commit."""
        changed = [(book, changes) for book in self._books.values() if (changes := book.changes())]
        plain = [folded.changes for folded in self._plain]
        self._tx.books.save([*plain, *(changes for _, changes in changed)])
        for (payer_id, _), saved in self._unattributed.items():
            self._tx.books.save_unattributed(payer_id, [saved])
        self._tx.books.refolded(self._refolded)
        return [*(folded.image for folded in self._plain), *(book.image() for book, _ in changed)]

    def _remember(self, name: VisitName, stored: StoredVisit) -> None:
        self._visits[name] = _Known(
            visit=stored.visit, last_event=stored.last_event, revision=stored.revision
        )


def _plain_members(
    events: Sequence[PendingEvent],
    members: Sequence[NamedMembers],
    known: Collection[VisitName],
    also: Iterable[MemberRef],
) -> dict[MemberRef, list[PendingEvent]]:
    """The members of whom these events say only that new visits were recorded, with those, as they came.

    An event of a visit that is known, or of which the batch has another event, may move anything. The members
    are in order, in which their rows and the entries of indexes lie.
    """
    of_visit = Counter((event.payer_id, event.key) for event in events)
    plain: dict[MemberRef, list[PendingEvent]] = {}
    others = set(also)
    for event, named in zip(events, members, strict=True):
        name = (event.payer_id, event.key)
        if event.type == "visit.recorded" and of_visit[name] == 1 and name not in known:
            for ref in named:
                plain.setdefault(ref, []).append(event)
        else:
            others.update(named)
    return {ref: plain[ref] for ref in sorted(plain.keys() - others)}


def _result(
    event: PendingEvent, status: Any, outcome: VisitOutcome, effects: tuple[Effect, ...]
) -> ApplyResult:
    """The receipt's status and outcome."""
    return ApplyResult(
        arrival=event.arrival,
        shard=event.shard,
        payer_id=event.payer_id,
        status=status,
        outcome=receipt_outcome(outcome, effects),
    )
