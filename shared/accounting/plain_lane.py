"""The lane of plain visits: counted from what is stored of the member, without folding the history.

Most events are plain visits (`shared/domain/plain_visits.py`). What the lane makes of them is, to the
byte, what a `MemberBook` makes of them; a member of whom anything else comes in a batch gets a book.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import date, datetime
from itertools import count
from typing import Any

import orjson

from shared.accounting.book import chained, empty
from shared.accounting.codec import Json, content_from
from shared.accounting.receipt_body import Effect, receipt_outcome
from shared.domain.accumulator import Accumulator, AccumulatorKey, KeyName
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.history import Rules, VisitOutcome
from shared.domain.inbox import ApplyResult, PendingEvent
from shared.domain.member_rows import MemberRow
from shared.domain.plain_visits import PlainClaim, PlainTurn, can_take_plain, plain_turn
from shared.domain.record import record
from shared.domain.records import (
    CounterImage,
    LedgerEntry,
    MemberChanges,
    PlainMember,
    PlainVisit,
    StoredAccumulator,
)
from shared.domain.visit import Visit

#: How many turns are remembered before it is begun anew; a site has some dozens, each of a few kilobytes.
REMEMBERED_MAX = 4_000


@record(frozen=True, slots=True, kw_only=True)
class PlainFolded:
    """What one member's plain visits came to: to be saved, to be answered, to be shown."""

    changes: MemberChanges
    results: tuple[ApplyResult, ...]
    image: CounterImage


class PlainTurns:
    """Turns of plain visits, from batch to batch, since visits repeat but for the member.

    Safe to share between threads: a lost memory costs time only.
    """

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._kept: tuple[Rules | None, _Turns] = (None, _Turns())

    def under(self, rules: Rules) -> _Turns:
        """What is remembered of these rules, which is nothing of any others."""
        known, turns = self._kept
        if known is not rules or turns.many:
            turns = _Turns()
            self._kept = (rules, turns)
        return turns


class _Turns:
    """The turns under one catalog's rules."""

    def __init__(self) -> None:
        self._numbers = count()
        self._numbered: dict[tuple[Hashable, ...], int] = {}
        self.of: dict[tuple[int, date, bytes | str], PlainTurn | None] = {}

    @property
    def many(self) -> bool:
        """Whether it is time to begin anew."""
        return max(len(self._numbered), len(self.of)) >= REMEMBERED_MAX

    def number(self, *facts: Hashable) -> int:
        """A number for what equals these facts, and for nothing else."""
        known = self._numbered.get(facts)
        return self._numbered.setdefault(facts, next(self._numbers)) if known is None else known


class PlainLane:
    """Counts plain visits of one batch."""

    def __init__(
        self,
        rules: Rules,
        plans: Mapping[str, Mapping[str, Plan]],
        now: datetime,
        turns: PlainTurns | None = None,
    ) -> None:
        """Work with these rules and plans, by payer and plan id; `now` stamps the entries.

        `turns` are remembered beyond this batch.
        """
        self._rules = rules
        self._plans = plans
        self._now = now
        self._turns = (turns or PlainTurns()).under(rules)
        self._plans_numbers = {
            payer_id: self._turns.number(payer_id, *of_payer.values()) for payer_id, of_payer in plans.items()
        }
        # The spans are kept with their numbers, so that their id stays their own.
        self._enrolled: dict[int, tuple[tuple[EnrollmentSpan, ...], int]] = {}
        self._receipts: dict[tuple[int, ...], tuple[VisitOutcome, Json]] = {}

    def fold(self, row: MemberRow, member: PlainMember, events: Sequence[PendingEvent]) -> PlainFolded | None:
        """Count a locked member's plain events, in arrival order; None where they need a book."""
        work = _Work(row, member)
        days = set()
        for event in events:
            turn = self._turn(row.ref.payer_id, member.spans, event)
            if turn is None or turn.on in days:
                return None
            days.add(turn.on)
            if not self._take(work, event, turn):
                return None
        return work.done()

    def _turn(
        self, payer_id: str, spans: tuple[EnrollmentSpan, ...], event: PendingEvent
    ) -> PlainTurn | None:
        """The turn of a visit, found once for all that differ in the member alone."""
        content = event.content
        if content is None:
            return None
        said = event.said or _without_member(content)
        enrolled = self._enrolled.get(id(spans))
        if enrolled is None:
            number = self._turns.number(payer_id, self._plans_numbers.get(payer_id), spans)
            enrolled = self._enrolled[id(spans)] = (spans, number)
        name = (enrolled[1], event.received_on, said)
        turns = self._turns.of
        if name not in turns:
            visit = Visit(
                key=event.key,
                arrival=event.arrival,
                received_on=event.received_on,
                content=content_from(content),
            )
            turns[name] = plain_turn(payer_id, spans, self._plans.get(payer_id, {}), self._rules, visit)
        return turns[name]

    def _take(self, work: _Work, event: PendingEvent, turn: PlainTurn) -> bool:
        """Give a visit its turn; False, with nothing to be kept of the work, if it needs a book."""
        slots = [work.slot(claim) for claim in turn.claims]
        full: int | None = None
        for place, (claim, slot) in enumerate(zip(turn.claims, slots, strict=True)):
            if not slot.tells_all:
                return False
            room = slot.room(claim)
            if full is None and claim.quantity > room:
                if room and claim.divisible:
                    return False
                full = place
        before = [slot.used for slot in slots]
        outcome: VisitOutcome | None = turn.outcome
        if full is None:
            self._count(work, event, turn, slots)
        else:
            outcome = turn.over(full)
            for slot in slots:
                slot.open()
        if outcome is None:
            return False
        work.keep(event, turn, outcome)
        work.results.append(
            ApplyResult(
                arrival=event.arrival,
                shard=event.shard,
                payer_id=event.payer_id,
                status="applied",
                outcome=self._receipt(turn, outcome, before),
            )
        )
        return True

    def _count(self, work: _Work, event: PendingEvent, turn: PlainTurn, slots: Sequence[_Slot]) -> None:
        """Move what every claim asks for, the least first, as a book does."""
        for place in turn.least_first:
            claim, slot = turn.claims[place], slots[place]
            slot.count(claim)
            counts = claim.quantity, 0, slot.used, slot.held, slot.allowed
            work.post(
                chained(
                    work.head,
                    (
                        *(work.next_entry, *claim.name, slot.version),
                        *(*event.key, None, turn.on),
                        *(*counts, event.type, event.event_id, self._now),
                    ),
                )
            )

    def _receipt(self, turn: PlainTurn, outcome: VisitOutcome, before: Sequence[int]) -> Json:
        """What the event's receipt tells, found once for all that met the same counts."""
        name = (id(outcome), *before)
        known = self._receipts.get(name)
        if known is None:
            counted = outcome is turn.outcome
            effects = [
                Effect(
                    key=claim.key,
                    used_before=used,
                    used_after=used + claim.quantity if counted else used,
                    allowed=claim.allowed,
                )
                for used, claim in zip(before, turn.claims, strict=True)
            ]
            # The outcome is kept with it, so that its id stays its own.
            known = self._receipts[name] = (outcome, receipt_outcome(outcome, effects))
        return known[1]


def _without_member(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps({name: value for name, value in content.items() if name != "member_id"})


class _Slot:
    """One accumulator while plain visits are counted in it."""

    __slots__ = ("_state", "_visits", "allowed", "changed", "held", "in_use", "tells_all", "used", "version")

    def __init__(self, stored: StoredAccumulator | None, key: AccumulatorKey) -> None:
        self.version = stored.version if stored else 0
        self.in_use = stored is not None and stored.in_use
        state = self._state = stored.state if stored is not None and stored.in_use else empty(key)
        self.tells_all = not self.in_use or can_take_plain(state)
        self.changed = False
        self.used, self.held, self.allowed, self._visits = state.used, state.held, state.allowed, state.visits

    def open(self) -> None:
        """Something was weighed against it."""
        if not self.in_use:
            self.in_use = self.changed = True

    def room(self, claim: PlainClaim) -> int:
        """The units that are still free for a claim; never negative."""
        return max(0, claim.allowed - (self.used - self._state.granted) - self.held)

    def count(self, claim: PlainClaim) -> None:
        """A claim was counted, as its next version."""
        self.used += claim.quantity
        self._visits += 1
        granted = self._state.granted
        self.allowed = max(self.allowed - granted, claim.allowed) + granted
        self.version += 1
        self.in_use = self.changed = True

    def stored(self) -> StoredAccumulator:
        """As it is to be stored: what was counted, and the rest as it was. It keeps no days."""
        state = self._state
        counted = Accumulator(
            key=state.key,
            used=self.used,
            held=state.held,
            granted=state.granted,
            opening=state.opening,
            carried=state.carried,
            visits=self._visits,
            allowed=self.allowed,
        )
        return StoredAccumulator(state=counted, version=self.version, in_use=self.in_use)


class _Work:
    """One member while plain visits are counted."""

    def __init__(self, row: MemberRow, member: PlainMember) -> None:
        self._row = row
        self._stored = member.accumulators
        self._slots: dict[KeyName, _Slot] = {}
        self._entries: list[LedgerEntry] = []
        self._visits: list[PlainVisit] = []
        self.head = row.ledger_head
        self.results: list[ApplyResult] = []

    @property
    def next_entry(self) -> int:
        """The number of the member's next ledger entry."""
        return self._row.ledger_entries + len(self._entries) + 1

    def slot(self, claim: PlainClaim) -> _Slot:
        """The accumulator that a claim is for."""
        slot = self._slots.get(claim.name)
        if slot is None:
            slot = self._slots[claim.name] = _Slot(self._stored.get(claim.name), claim.key)
        return slot

    def post(self, entry: LedgerEntry) -> None:
        """Write the next ledger entry."""
        self.head = entry.hash
        self._entries.append(entry)

    def keep(self, event: PendingEvent, turn: PlainTurn, outcome: VisitOutcome) -> None:
        """Keep the visit with what became of it."""
        self._visits.append(PlainVisit(event, turn.on, outcome))

    def done(self) -> PlainFolded:
        """Everything that changed."""
        row = self._row
        changed = {name: slot.stored() for name, slot in self._slots.items() if slot.changed}
        standing = {**self._stored, **changed}.values()
        version = row.version + 1
        return PlainFolded(
            changes=MemberChanges(
                ref=row.ref,
                version=version,
                ledger_entries=row.ledger_entries + len(self._entries),
                ledger_head=self.head,
                accumulators=tuple(changed.values()),
                entries=tuple(self._entries),
                visits=(),
                holds={},
                plain_visits=tuple(self._visits),
            ),
            results=tuple(self.results),
            image=CounterImage(
                ref=row.ref,
                version=version,
                accumulators=tuple(stored for stored in standing if stored.in_use),
            ),
        )
