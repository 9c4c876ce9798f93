"""Where the service stands, for those who run it: counts and ages, nothing about people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.coverage_api.ports import Tools
from shared.domain.client import Client
from shared.domain.standing import EventCounts
from shared.messages import SWEEP

Json = dict[str, Any]


def read_status(tools: Tools, client: Client) -> Json:
    """Counts over the payers that the client sees, in all and one by one, read in one snapshot (I7).

    What the workers did, how far they are and the versions are those of the whole installation.
    """
    with tools.store.transaction(client.payers) as tx:
        by_payer = tx.standing.event_counts()
        refolds, counters = tx.standing.refolds_waiting(), tx.standing.counters_waiting()
        totals, since_sweep = tx.jobs.totals(), tx.jobs.seconds_since(SWEEP)
        versions = {"catalog": tx.catalog.version(), "schema": tx.standing.schema_version()}
    now = tools.clock()
    total = EventCounts()
    for counts in by_payer.values():
        total = total.plus(counts)
    return {
        **_standing_json(total, now),
        "payers": [
            {"payer_id": payer_id, **_standing_json(counts, now)}
            for payer_id, counts in sorted(by_payer.items())
        ],
        "members_to_fold_again": refolds,
        "counters_behind": counters,
        "drift": {name: totals.get(f"drift_{name}", 0) for name in ("compared", "found")},
        "seconds_since_sweep": None if since_sweep is None else max(0, int(since_sweep)),
        "versions": versions,
    }


def _standing_json(counts: EventCounts, now: datetime) -> Json:
    return {
        "visit_events": _counts_json(counts, now),
        "complete": counts.is_complete,
        "dead_letters": {"waiting": counts.dead - counts.discarded, "discarded": counts.discarded},
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
