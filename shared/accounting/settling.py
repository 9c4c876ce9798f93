"""Members' books with every pending event applied: what a decision that must not be early starts from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.accounting.posting import Posting
from shared.domain.records import MemberRef, in_order
from shared.ports import RulesSource, Transaction


def open_settled(tx: Transaction, rules: RulesSource, now: datetime, refs: Iterable[MemberRef]) -> Posting:
    """Open members' books after applying the events that wait for them, in this transaction.

    Waits for whoever is draining their shards. Events that failed before are left to the drain.
    Raises StoreUnavailable when the wait is longer than the transaction may last.
    """
    wanted = in_order(refs)
    shards = tx.inbox.shards_waiting(wanted)
    tx.inbox.wait_for_shards(shards)
    events = tx.inbox.pending_of(wanted, shards, now) if shards else []
    posting = Posting(tx, rules, now)
    events = posting.open_for(events, wanted)
    if events:
        tx.inbox.finish([posting.apply(event) for event in events], now)
    return posting
