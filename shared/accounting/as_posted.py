"""A member as the ledger has it: what a rebuild posts its differences to.

The rows of accumulators, visits and holds are what a rebuild puts right, so the difference is not
taken from them. Where a row agrees with the ledger it is handed on as it is; where it does not, it is
replaced by what was posted, in a form that no fold leads to, so that it is written again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from shared.accounting.book import empty
from shared.accounting.codec import Json, key_from, posting_to
from shared.domain.accumulator import AccumulatorKey
from shared.domain.history import History, Posting
from shared.domain.hold import Hold
from shared.domain.member_rows import LedgerSums, MemberRow
from shared.domain.records import StoredAccumulator, StoredHold, StoredMember, StoredVisit
from shared.domain.service import Service
from shared.domain.visit import Visit, VisitKey

Units = dict[tuple[AccumulatorKey, date], int]

#: No fold counts so few visits: an accumulator with this is written again.
_WRONG = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedVisit:
    """A visit as its applied events add up to it; `last_event` is the highest arrival among them.

    `revision` is that of its row, 0 if it has none.
    """

    visit: Visit
    last_event: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRowSet:
    """The stored state of one member: the rows that a rebuild compares and puts right."""

    accumulators: Mapping[AccumulatorKey, StoredAccumulator]
    visits: Mapping[VisitKey, StoredVisit]
    holds: Mapping[str, StoredHold]


def as_posted(
    row: MemberRow,
    history: History,
    folded: Mapping[VisitKey, FoldedVisit],
    rows: MemberRowSet,
    ledger: LedgerSums,
) -> StoredMember:
    """The member with the history it should have and the state that the ledger has posted for it."""
    of_visits, of_holds = _units_by_cause(ledger)
    leftover = [hold_id for hold_id in of_holds if hold_id not in {h.hold_id for h in history.holds}]
    return StoredMember(
        ref=row.ref,
        version=row.version,
        ledger_entries=row.ledger_entries,
        ledger_head=row.ledger_head,
        history=replace(history, holds=(*history.holds, *map(_ended, leftover))),
        accumulators=_accumulators(rows, ledger),
        visits={
            key: _visit(key, rows.visits.get(key), folded.get(key), of_visits[key])
            for key in folded.keys() | of_visits.keys()
        },
        holds={
            hold_id: _hold(rows.holds.get(hold_id), of_holds[hold_id])
            for hold_id in rows.holds.keys() | of_holds.keys()
        },
    )


def _units_by_cause(ledger: LedgerSums) -> tuple[defaultdict[VisitKey, Units], defaultdict[str, Units]]:
    of_visits: defaultdict[VisitKey, Units] = defaultdict(dict)
    of_holds: defaultdict[str, Units] = defaultdict(dict)
    for posted in ledger.units:
        if posted.visit is not None:
            of_visits[posted.visit][posted.key, posted.on] = posted.used
        elif posted.hold_id is not None:
            of_holds[posted.hold_id][posted.key, posted.on] = posted.held
    return of_visits, of_holds


def _accumulators(rows: MemberRowSet, ledger: LedgerSums) -> dict[AccumulatorKey, StoredAccumulator]:
    posted: dict[AccumulatorKey, list[int]] = defaultdict(lambda: [0, 0, 0])
    for units in ledger.units:
        sums = posted[units.key]
        sums[0] += units.used
        sums[1] += units.held
        sums[2] += units.used if units.visit is None and units.hold_id is None else 0
    accumulators = {}
    for key in rows.accumulators.keys() | ledger.versions.keys():
        row, version = rows.accumulators.get(key), ledger.versions.get(key, 0)
        used, held, opening = posted[key]
        if row is None:
            row = StoredAccumulator(state=empty(key), version=0, in_use=False)
        state = row.state
        right = (state.used, state.held, state.opening) == (used, held, opening)
        # A version that entries were taken away from stays: the next entry must not repeat one.
        kept = max(row.version, version) if version else 0
        if not right or row.version != kept:
            state = replace(state, used=used, held=held, opening=opening, visits=_WRONG)
        accumulators[key] = StoredAccumulator(state=state, version=kept, in_use=row.in_use)
    return accumulators


def _visit(key: VisitKey, row: StoredVisit | None, folded: FoldedVisit | None, posted: Units) -> StoredVisit:
    visit = folded.visit if folded else Visit(key=key)
    last_event = folded.last_event if folded else 0
    right = row is not None and (row.visit, row.last_event) == (visit, last_event)
    if row is not None and right and units_of(row.outcome) == _without_zeros(posted):
        return row
    return StoredVisit(
        visit=visit,
        last_event=last_event,
        disposition="not_countable",
        plan_id=None,
        outcome=_outcome_from(posted),
        revision=folded.revision if folded else 0,
    )


def _hold(row: StoredHold | None, posted: Units) -> StoredHold:
    if row is not None and units_of(row.outcome) == _without_zeros(posted):
        return row
    return StoredHold(state="pending", outcome=_outcome_from(posted))


def _ended(hold_id: str) -> Hold:
    """A hold that is the member's no more: it claims nothing, so that what it held is taken back."""
    return Hold(
        hold_id=hold_id,
        arrival=0,
        service=Service(service_date=date.min, lines=()),
        quantity=1,
        ended_by=0,
        end_state="released",
    )


def units_of(outcome: Mapping[str, Any]) -> Units:
    """The units that a stored outcome moved, by accumulator and date, without zeros."""
    units: Units = {}
    for posting in outcome["postings"]:
        name = key_from(posting), date.fromisoformat(posting["on"])
        units[name] = units.get(name, 0) + posting["units"]
    return _without_zeros(units)


def _without_zeros(units: Units) -> Units:
    return {name: moved for name, moved in units.items() if moved}


def _outcome_from(posted: Units) -> Json:
    """What was posted as the postings of an outcome; the rest of one is missing, so no fold equals it."""
    postings: Iterable[Posting] = (
        Posting(key=key, on=on, units=units) for (key, on), units in posted.items()
    )
    return {"postings": [posting_to(posting) for posting in postings]}
