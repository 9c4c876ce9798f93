"""A state as canonical JSON, as stored and as rebuilt from nothing: equal bytes are equal states (I4).

What is state: accumulators in use, each visit's content, disposition and postings, each hold's state.
Versions, ledger order, hashes, times and receipts are history and not in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

import orjson
import psycopg

from shared.accounting.codec import hold_outcome_to, visit_outcome_to
from shared.accounting.operator_ports import OperatorTransaction
from shared.accounting.rebuild import fold_visit
from shared.adapters.postgres.member_rows import merged_into
from shared.domain.accumulator import Accumulator
from shared.domain.adjudication import adjudicate
from shared.domain.history import History
from shared.domain.records import MemberRef
from shared.domain.visit import Visit, VisitKey, VisitName
from shared.ports import RulesSource

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One member's state: accumulators in use, and each visit and hold with what became of it."""

    ref: MemberRef
    accumulators: Iterable[Accumulator]
    visits: Mapping[VisitKey, tuple[Visit, str, str | None, Any]]
    holds: Mapping[str, tuple[str, Any]]


def stored_state(tx: OperatorTransaction, refs: Iterable[MemberRef]) -> bytes:
    """The stored state of these members; those merged into another are in that other's."""
    members = {stored.ref: stored for stored in tx.books.read(refs).values()}
    return _bytes(
        _Member(
            ref=stored.ref,
            accumulators=[one.state for one in stored.accumulators.values() if one.in_use],
            visits={
                key: (row.visit, row.disposition, row.plan_id, row.outcome)
                for key, row in stored.visits.items()
            },
            holds={hold_id: (hold.state, hold.outcome) for hold_id, hold in stored.holds.items()},
        )
        for stored in members.values()
    )


def rebuilt_state(tx: OperatorTransaction, rules: RulesSource, refs: Iterable[MemberRef]) -> bytes:
    """The state that these members' applied events, holds, overrides and the rest add up to.

    Nothing that the rows of visits and accumulators say goes into it, save an operator's decision that only
    the visit's row has. Reads the whole inbox.
    """
    running = rules.current(tx)
    members = {stored.ref: stored for stored in tx.books.read(refs).values()}
    visits = _fold_visits(tx, members)
    folded = []
    for ref, stored in members.items():
        own = visits[ref]
        history: History = replace(stored.history, visits=tuple(own.values()))
        state = adjudicate(history, running)
        folded.append(
            _Member(
                ref=ref,
                accumulators=state.accumulators.values(),
                visits={
                    key: (own[key], outcome.disposition, outcome.plan_id, visit_outcome_to(outcome))
                    for key, outcome in state.visits.items()
                },
                holds={
                    hold_id: (outcome.state, hold_outcome_to(outcome))
                    for hold_id, outcome in state.holds.items()
                },
            )
        )
    return _bytes(folded)


def _fold_visits(
    tx: OperatorTransaction, members: Mapping[MemberRef, Any]
) -> defaultdict[MemberRef, dict[VisitKey, Visit]]:
    """Every visit whose events lead to one of these members, by member and name."""
    # What this transaction sees, for others go on meanwhile.
    connection: psycopg.Connection[Any] = vars(tx)["_connection"]
    merged = merged_into(connection, members)
    names = _visits_naming({*members, *merged}, connection)
    events = tx.rebuilding.events_of(names)
    decided = tx.rebuilding.decisions_on(names)
    rows = tx.books.find_visits(names)
    visits: defaultdict[MemberRef, dict[VisitKey, Visit]] = defaultdict(dict)
    for name in names:
        row = rows.get(name)
        decision = decided.get(name, row.visit.duplicate_decision if row else None)
        visit = fold_visit(name[1], events[name], decision, revision=0).visit
        if visit.member_id is not None:
            named = MemberRef(payer_id=name[0], member_id=visit.member_id)
            visits[merged.get(named, named)][name[1]] = visit
    return visits


def _visits_naming(refs: AbstractSet[MemberRef], connection: psycopg.Connection[Any]) -> list[VisitName]:
    """Every visit of which an applied event names one of these members.

    Members are told apart here: joined with them, each content would be read once for each member.
    """
    rows = connection.execute(
        """
        select distinct payer_id, client_id, visit_id, content ->> 'member_id'
          from visit_event_in_full where status = 'applied' and content is not null
        """
    )
    return list(
        dict.fromkeys(
            (payer, VisitKey(client_id=client, visit_id=visit))
            for payer, client, visit, member in rows
            if MemberRef(payer_id=payer, member_id=member) in refs
        )
    )


def _bytes(members: Iterable[_Member]) -> bytes:
    ordered = sorted(members, key=lambda member: member.ref)
    return orjson.dumps(
        [_member_to(member) for member in ordered], default=tuple, option=orjson.OPT_SORT_KEYS
    )


def _member_to(member: _Member) -> Json:
    return {
        "payer_id": member.ref.payer_id,
        "member_id": member.ref.member_id,
        "accumulators": sorted(member.accumulators, key=lambda one: one.key),
        "visits": [
            {"visit": visit, "disposition": disposition, "plan_id": plan_id, "outcome": outcome}
            for _, (visit, disposition, plan_id, outcome) in sorted(member.visits.items())
        ],
        "holds": [
            {"hold_id": hold_id, "state": state, "outcome": outcome}
            for hold_id, (state, outcome) in sorted(member.holds.items())
        ],
    }
