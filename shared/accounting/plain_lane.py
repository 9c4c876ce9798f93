"""The lane of plain visits: counted from what is stored of the member, without folding the history.

Most events are plain visits (`shared/domain/plain_visits.py`). What the lane makes of them is, to the
byte, what a `MemberBook` makes of them; a member of whom anything else comes in a batch gets a book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from shared.accounting.book import chain_hash, empty
from shared.accounting.codec import Json, content_from
from shared.accounting.receipt_body import effect_of, receipt_outcome
from shared.domain.accumulator import Accumulator, AccumulatorKey
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.history import Rules, VisitOutcome
from shared.domain.inbox import ApplyResult, PendingEvent
from shared.domain.member_rows import MemberRow
from shared.domain.plain_visits import PlainTurn, can_take_plain, plain_turn
from shared.domain.records import (
    Cause,
    CounterImage,
    LedgerEntry,
    MemberChanges,
    PlainMember,
    SavedVisit,
    StoredAccumulator,
)
from shared.domain.visit import Visit, VisitContent


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFolded:
    """What one member's plain visits came to: to be saved, to be answered, to be shown."""

    changes: MemberChanges
    results: tuple[ApplyResult, ...]
    image: CounterImage


@dataclass(slots=True, kw_only=True)
class _Shown:
    """An outcome as receipts tell it, but for the counts around the event."""

    body: Json
    effects: tuple[Json, ...]


class PlainLane:
    """Counts plain visits of one batch. It remembers turns, since visits repeat but for the member."""

    def __init__(self, rules: Rules, plans: Mapping[str, Mapping[str, Plan]], now: datetime) -> None:
        """Work with these rules and plans, by payer and plan id; `now` stamps the entries."""
        self._rules = rules
        self._plans = plans
        self._now = now
        self._turns: dict[tuple[Any, ...], PlainTurn | None] = {}
        self._shown: dict[int, tuple[VisitOutcome, _Shown]] = {}

    def fold(self, row: MemberRow, member: PlainMember, events: Sequence[PendingEvent]) -> PlainFolded | None:
        """Count a locked member's plain events, in arrival order; None where they need a book."""
        work = _Work(row=row, member=member)
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
        said = orjson.dumps({name: value for name, value in content.items() if name != "member_id"})
        name = (payer_id, spans, event.received_on, said)
        if name not in self._turns:
            visit = Visit(
                key=event.key,
                arrival=event.arrival,
                received_on=event.received_on,
                content=content_from(content),
            )
            self._turns[name] = plain_turn(payer_id, spans, self._plans.get(payer_id, {}), self._rules, visit)
        return self._turns[name]

    def _take(self, work: _Work, event: PendingEvent, turn: PlainTurn) -> bool:
        """Give a visit its turn; False, with nothing to be kept of the work, if it needs a book."""
        before = []
        full: int | None = None
        for place, claim in enumerate(turn.claims):
            state = work.state(claim.key)
            if state is None:
                return False
            before.append(state)
            room = claim.room(state)
            if full is None and claim.quantity > room:
                if room and claim.divisible:
                    return False
                full = place
        outcome: VisitOutcome | None = turn.outcome
        if full is not None:
            outcome = turn.over(full)
            if outcome is None:
                return False
            for claim in turn.claims:
                work.open(claim.key)
        else:
            self._count(work, event, turn, before)
        assert outcome is not None, "a turn has an outcome"
        work.keep(event, turn, outcome)
        self._answer(work, event, turn, outcome, [state.used for state in before])
        return True

    def _count(
        self, work: _Work, event: PendingEvent, turn: PlainTurn, before: Sequence[Accumulator]
    ) -> None:
        """Move what every claim asks for, the least first, as a book does."""
        cause = Cause(kind=event.type, id=event.event_id)
        moves = sorted(zip(turn.claims, before, strict=True), key=lambda move: move[0].quantity)
        for claim, state in moves:
            work.post(claim.counted(state), claim.quantity, event, turn.on, cause, self._now)

    def _answer(
        self,
        work: _Work,
        event: PendingEvent,
        turn: PlainTurn,
        outcome: VisitOutcome,
        used_before: Sequence[int],
    ) -> None:
        shown = self._shown_of(outcome, turn)
        after = [claim.quantity if outcome is turn.outcome else 0 for claim in turn.claims]
        accumulators = [
            {**fixed, "used_before": used, "used_after": used + moved, "allowed": claim.allowed}
            for fixed, used, moved, claim in zip(shown.effects, used_before, after, turn.claims, strict=True)
        ]
        body = {**shown.body, "accumulators": accumulators}
        work.results.append(ApplyResult(arrival=event.arrival, status="applied", outcome=body))

    def _shown_of(self, outcome: VisitOutcome, turn: PlainTurn) -> _Shown:
        known = self._shown.get(id(outcome))
        if known is None:
            shown = _Shown(
                body=receipt_outcome(outcome, ()),
                effects=tuple(effect_of(claim.key) for claim in turn.claims),
            )
            # The outcome is kept with it, so that its id stays its own.
            known = self._shown[id(outcome)] = (outcome, shown)
        return known[1]


class _Work:
    """One member's counts while plain visits are counted."""

    def __init__(self, *, row: MemberRow, member: PlainMember) -> None:
        self._row = row
        self._stored = member.accumulators
        self._accumulators: dict[AccumulatorKey, StoredAccumulator] = dict(member.accumulators)
        self._touched: dict[AccumulatorKey, None] = {}
        self._entries: list[LedgerEntry] = []
        self._head = row.ledger_head
        self._visits: list[SavedVisit] = []
        self.results: list[ApplyResult] = []

    def state(self, key: AccumulatorKey) -> Accumulator | None:
        """An accumulator as it stands, at nothing if it is not in use; None where that does not tell all."""
        stored = self._accumulators.get(key)
        if stored is None or not stored.in_use:
            return empty(key)
        return stored.state if key in self._touched or can_take_plain(stored.state) else None

    def open(self, key: AccumulatorKey) -> None:
        """Note that something was weighed against an accumulator."""
        stored = self._accumulators.get(key)
        if stored is None or not stored.in_use:
            version = stored.version if stored else 0
            self._accumulators[key] = StoredAccumulator(state=empty(key), version=version, in_use=True)
            self._touched[key] = None

    def post(
        self, state: Accumulator, units: int, event: PendingEvent, on: Any, cause: Cause, now: datetime
    ) -> None:
        """Write a ledger entry for units that were counted, and keep the accumulator they led to."""
        key = state.key
        stored = self._accumulators.get(key)
        version = (stored.version if stored else 0) + 1
        entry = LedgerEntry(
            entry_no=self._row.ledger_entries + len(self._entries) + 1,
            key=key,
            version=version,
            visit=event.key,
            hold_id=None,
            service_date=on,
            used_delta=units,
            held_delta=0,
            used_after=state.used,
            held_after=state.held,
            allowed=state.allowed,
            cause=cause,
            recorded_at=now,
            hash=b"",
        )
        self._head = chain_hash(self._head, entry)
        self._entries.append(replace(entry, hash=self._head))
        self._accumulators[key] = StoredAccumulator(state=state, version=version, in_use=True)
        self._touched[key] = None

    def keep(self, event: PendingEvent, turn: PlainTurn, outcome: VisitOutcome) -> None:
        """Keep the visit with what became of it."""
        like = turn.visit.content
        assert like is not None, "a plain visit has content"
        assert event.content is not None, "a plain visit has content"
        content = VisitContent(
            member_id=event.content["member_id"],
            service=like.service,
            self_pay=like.self_pay,
            visit_status=like.visit_status,
        )
        visit = Visit(key=event.key, arrival=event.arrival, received_on=event.received_on, content=content)
        self._visits.append(SavedVisit(visit=visit, last_event=event.arrival, outcome=outcome, revision=0))

    def done(self) -> PlainFolded:
        """Everything that changed."""
        row = self._row
        accumulators = self._accumulators
        version = row.version + 1
        return PlainFolded(
            changes=MemberChanges(
                ref=row.ref,
                version=version,
                ledger_entries=row.ledger_entries + len(self._entries),
                ledger_head=self._head,
                accumulators=tuple(accumulators[key] for key in self._touched),
                entries=tuple(self._entries),
                visits=tuple(self._visits),
                holds={},
            ),
            results=tuple(self.results),
            image=CounterImage(
                ref=row.ref,
                version=version,
                accumulators=tuple(stored for stored in accumulators.values() if stored.in_use),
            ),
        )
