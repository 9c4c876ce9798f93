"""A store in memory for the accounting: the same loads and saves as the real one, for many small worlds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, cast

from shared.accounting.codec import content_from, event_from, visit_outcome_to
from shared.accounting.plain_lane import PlainTurns
from shared.accounting.posting import Posting
from shared.domain.enrollment import Plan
from shared.domain.history import History, Rules
from shared.domain.inbox import ApplyResult, PendingEvent
from shared.domain.member_rows import MemberRow
from shared.domain.records import (
    LedgerEntry,
    MemberChanges,
    MemberRef,
    PlainMember,
    PlainVisit,
    SavedVisit,
    StoredAccumulator,
    StoredMember,
    StoredVisit,
)
from shared.domain.visit import Visit, VisitEvent, VisitKey
from shared.ports import Transaction
from tests.builders import NOW, PAYER
from tests.fakes import FixedRules
from tests.model.bridge import Row, history_of, members_of

VisitName = tuple[str, VisitKey]


def _saved(plain: PlainVisit) -> SavedVisit:
    """A plain visit like any other."""
    event = plain.event
    assert event.content is not None, "it was recorded"
    visit = Visit(
        key=event.key,
        arrival=event.arrival,
        received_on=event.received_on,
        content=content_from(event.content),
    )
    return SavedVisit(visit=visit, last_event=event.arrival, outcome=plain.outcome, revision=0)


class MemoryStore:
    """Members' books and applied events of one world; nothing is kept but what is saved."""

    def __init__(
        self, world: Row, rules: Rules, *, lane: bool = True, turns: PlainTurns | None = None
    ) -> None:
        """Store every member of a world, with holds and balances but without visits.

        Without the `lane`, plain visits have their members' books opened like all others. `turns` are
        remembered from other stores.
        """
        self._rules = rules
        self._lane = lane
        self._turns = turns or PlainTurns()
        #: How many times a member was loaded whole.
        self.loaded = 0
        self._ended: dict[VisitName, list[VisitEvent]] = {}
        self._visits: dict[VisitName, StoredVisit] = {}
        self._unfinished: dict[int, VisitEvent] = {}
        self.ledgers: dict[MemberRef, list[LedgerEntry]] = defaultdict(list)
        self.members = {
            MemberRef(payer_id=PAYER, member_id=member): StoredMember(
                ref=MemberRef(payer_id=PAYER, member_id=member),
                version=0,
                ledger_entries=0,
                ledger_head=b"",
                history=history_of(world, member, visits=()),
            )
            for member in members_of(world)
        }
        posting = Posting(self._tx, FixedRules(rules), NOW)
        posting.open(self.members)
        for ref in self.members:
            posting.refold(ref, "seed")
        posting.save()

    @property
    def _tx(self) -> Transaction:
        return cast("Transaction", self)

    @property
    def inbox(self) -> MemoryStore:
        """This store keeps the events too."""
        return self

    @property
    def books(self) -> MemoryStore:
        """This store keeps the books too."""
        return self

    def apply(self, batch: Sequence[PendingEvent]) -> list[ApplyResult]:
        """Apply a batch of events as one transaction does; what became of each."""
        self._unfinished = {event.arrival: event_from(event) for event in batch}
        posting = Posting(self._tx, FixedRules(self._rules), NOW, self._turns)
        if self._lane:
            results = posting.apply_all(batch)
        else:
            posting.open_for(batch)
            results = [posting.apply(event) for event in batch]
        self.finish(results, NOW)
        posting.save()
        return results

    # The inbox

    def applied_events(self, payer_id: str, key: VisitKey) -> list[VisitEvent]:
        """Every applied event of one visit, in arrival order."""
        return sorted(self._ended.get((payer_id, key), []), key=lambda event: event.arrival)

    def number_anew(self, arrivals: Sequence[int]) -> dict[int, int]:
        """None: here events are put off, as after a failure, and keep their places."""
        return {}

    def finish(self, results: Sequence[ApplyResult], now: datetime) -> None:
        """Remember the applied ones."""
        for result in results:
            event = self._unfinished[result.arrival]
            if result.status == "applied":
                name = (event.payer_id, VisitKey(client_id=event.client_id, visit_id=event.visit_id))
                self._ended.setdefault(name, []).append(event)

    # The books

    def find_visits(self, keys: Iterable[VisitName]) -> dict[VisitName, StoredVisit]:
        """The stored visits among these."""
        return {name: self._visits[name] for name in keys if name in self._visits}

    def lock_payers(self, payer_ids: Iterable[str]) -> None:
        """Nobody else is here."""

    def requested_refolds(self, refs: Iterable[MemberRef]) -> dict[MemberRef, str]:
        """Nothing asks for any."""
        return {}

    def refolded(self, refs: Iterable[MemberRef]) -> None:
        """Nothing was asked for."""

    def lock(self, refs: Iterable[MemberRef]) -> dict[MemberRef, MemberRow]:
        """The members' rows; none of them was merged."""
        return {ref: self._row(ref) for ref in refs}

    def load(self, rows: Mapping[MemberRef, MemberRow]) -> dict[MemberRef, StoredMember]:
        """Members as stored, with the visits that are theirs now."""
        self.loaded += len(rows)
        return {ref: self.member(ref) for ref in rows}

    def plain(
        self, asks: Mapping[MemberRef, Sequence[date]]
    ) -> tuple[dict[MemberRef, PlainMember], dict[str, Mapping[str, Plan]]]:
        """Those without an override or opening balance, and without a visit on these dates."""
        members, plans = {}, {}
        for ref, dates in asks.items():
            stored = self.member(ref)
            history = stored.history
            plans[ref.payer_id] = history.plans
            busy = {visit.content.service.service_date for visit in history.visits if visit.content}
            if not (history.overrides or history.opening_balances or busy & set(dates)):
                members[ref] = PlainMember(
                    spans=history.spans,
                    accumulators={key.name: one for key, one in stored.accumulators.items()},
                )
        return members, plans

    def _row(self, ref: MemberRef) -> MemberRow:
        stored = self.member(ref)
        visits = [visit.arrival or 0 for visit in stored.history.visits]
        return MemberRow(
            ref=ref,
            version=stored.version,
            ledger_entries=stored.ledger_entries,
            ledger_head=stored.ledger_head,
            last_arrival=max([*visits, *(hold.arrival for hold in stored.history.holds)], default=0),
        )

    def member(self, ref: MemberRef) -> StoredMember:
        """One member as stored."""
        stored = self.members[ref]
        visits = {key: row for (_, key), row in self._visits.items() if row.visit.member_id == ref.member_id}
        history: History = replace(
            stored.history, visits=tuple(row.visit for _, row in sorted(visits.items()))
        )
        return replace(stored, history=history, visits=visits)

    def save(self, changes: Sequence[MemberChanges]) -> None:
        """Write what changed; a visit only over the revision that was read."""
        for change in changes:
            stored = self.members[change.ref]
            assert change.version == stored.version + 1
            accumulators = {**stored.accumulators, **{one.state.key: one for one in change.accumulators}}
            self.members[change.ref] = replace(
                stored,
                version=change.version,
                ledger_entries=change.ledger_entries,
                ledger_head=change.ledger_head,
                accumulators=accumulators,
                holds={**stored.holds, **change.holds},
            )
            self.ledgers[change.ref] += change.entries
            new = [_saved(visit) for visit in change.plain_visits]
            self._save_visits(change.ref.payer_id, [*change.visits, *new])

    def save_unattributed(self, payer_id: str, visits: Sequence[SavedVisit]) -> None:
        """Write visits of which no member is known yet."""
        self._save_visits(payer_id, visits)

    def _save_visits(self, payer_id: str, visits: Sequence[SavedVisit]) -> None:
        for saved in visits:
            name = (payer_id, saved.visit.key)
            known = self._visits.get(name)
            assert saved.revision == (known.revision if known else 0)
            self._visits[name] = StoredVisit(
                visit=saved.visit,
                last_event=saved.last_event,
                disposition=saved.outcome.disposition,
                plan_id=saved.outcome.plan_id,
                outcome=visit_outcome_to(saved.outcome),
                revision=saved.revision + 1,
            )

    def accumulators(self) -> dict[tuple[MemberRef, Any], StoredAccumulator]:
        """Every accumulator, by member and key."""
        return {
            (ref, key): one
            for ref, stored in self.members.items()
            for key, one in stored.accumulators.items()
        }


def pending_of(row: Row) -> PendingEvent:
    """A plain event as it waits in the inbox."""
    return PendingEvent(
        arrival=row["arrival"],
        shard=0,
        payer_id=PAYER,
        key=VisitKey(client_id=row["client"], visit_id=row["visit_id"]),
        event_id=f"e{row['arrival']}",
        type=row["type"],
        received_on=row["received_on"],
        content=json_of(row["content"]) if row["content"] else None,
        attempts=0,
    )


def json_of(content: Row) -> dict[str, Any]:
    """A plain content as the JSON object that a client sends."""
    held = content["authorization"]
    return {
        "member_id": content["member"],
        "service_date": content["date"].isoformat(),
        "lines": [
            {
                "procedure_code": line["code"],
                "quantity": line["quantity"],
                "modifiers": line["modifiers"],
                "diagnosis_codes": line["diagnoses"],
            }
            for line in content["lines"]
        ],
        "provider": {"npi": content["npi"]},
        "state": content["state"],
        "network": content["network"],
        "authorization": held
        and {name: day.isoformat() if name != "number" and day else day for name, day in held.items()},
        "injury_id": content["injury"],
        "self_pay": content["self_pay"],
        "visit_status": content["status"],
        "hold_id": content["hold"],
    }
