"""Deciding on possible duplicates: an operator says whether a visit is one of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.accounting.operator_ports import OperatorTransaction
from shared.accounting.posting import Posting
from shared.domain.errors import Conflict, NotFound
from shared.domain.operator_records import NewDecision
from shared.domain.records import Cause, CounterImage, MemberRef
from shared.ports import RulesSource


class VisitNotFound(NotFound):
    """There is no such visit, or nobody knows whose it is."""


class NotPossibleDuplicate(Conflict):
    """The visit is no possible duplicate, so there is nothing to decide."""


def decide_duplicate(
    tx: OperatorTransaction, rules: RulesSource, now: datetime, decision: NewDecision
) -> list[CounterImage] | None:
    """Store an operator's decision and fold the member again.

    Returns the counters to show after the commit, which is the caller's; None if the same was decided
    before. A decision can be taken back by the other one. Raises VisitNotFound, NotPossibleDuplicate.
    """
    name = (decision.payer_id, decision.visit)
    # Draining reads a visit before it locks the member: with its shard kept still, it reads ours.
    tx.inbox.wait_for_shards(tx.rebuilding.shards_of([name]))
    stored = tx.books.find_visits([name]).get(name)
    if stored is None or stored.visit.member_id is None:
        raise VisitNotFound
    ref = MemberRef(payer_id=decision.payer_id, member_id=stored.visit.member_id)
    posting = Posting(tx, rules, now)
    posting.open_for([], [ref])
    book = posting.book(ref)
    visit = next((one for one in book.history.visits if one.key == decision.visit), None)
    outcome = book.outcome(decision.visit)
    if visit is None or outcome is None:
        raise VisitNotFound
    if visit.duplicate_decision == decision.decision:
        return None
    if visit.duplicate_decision is None and outcome.disposition != "possible_duplicate":
        raise NotPossibleDuplicate
    decided = replace(visit, duplicate_decision=decision.decision)
    book.put(
        decided,
        stored.last_event,
        stored.revision,
        Cause(kind=f"duplicate.{decision.decision}", id=decision.decision_id),
    )
    tx.duplicates.record(decision, now)
    return posting.save()
