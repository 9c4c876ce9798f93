"""Where the service stands, for those who run it: counts and ages, nothing about people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.coverage_api.ports import Tools
from shared.domain.client import Client
from shared.domain.standing import EventCounts

Json = dict[str, Any]


def read_status(tools: Tools, client: Client) -> Json:
    """Counts over the payers that the client sees, in all and one by one, read in one snapshot (I7)."""
    with tools.store.transaction(client.payers) as tx:
        by_payer = tx.standing.event_counts()
        refolds, counters = tx.standing.refolds_waiting(), tx.standing.counters_waiting()
        catalog_version = tx.catalog.version()
    now = tools.clock()
    total = EventCounts()
    for counts in by_payer.values():
        total = total.plus(counts)
    return {
        "visit_events": _counts_json(total, now),
        "payers": [
            {"payer_id": payer_id, "visit_events": _counts_json(counts, now)}
            for payer_id, counts in sorted(by_payer.items())
        ],
        "members_to_fold_again": refolds,
        "counters_behind": counters,
        "versions": {"catalog": catalog_version},
    }


def _counts_json(counts: EventCounts, now: datetime) -> Json:
    """The counts of one set of events; the age is in whole seconds, 0 when nothing waits."""
    oldest = counts.oldest_pending_at
    return {
        "received": counts.received,
        "applied": counts.applied,
        "rejected": counts.rejected,
        "dead": counts.dead,
        "pending": counts.pending,
        "oldest_pending_seconds": max(0, int((now - oldest).total_seconds())) if oldest else 0,
    }
