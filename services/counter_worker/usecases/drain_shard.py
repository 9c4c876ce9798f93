"""Apply a shard's pending events, batch by batch, and show the outcome."""

from __future__ import annotations

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from services.counter_worker.usecases.project_counters import project
from shared.accounting import drain
from shared.accounting.drain import DrainReport
from shared.domain.errors import CountersUnavailable

#: A shard with a long backlog lets the others have their turn after this.
TURN_SECONDS = 5.0

_log = structlog.get_logger()


def drain_shard(tools: Tools, shard: int) -> bool:
    """Answer a wake-up: apply what the shard has. True if there may be more when the turn is over.

    Raises StoreUnavailable; what was not committed then is found by the sweep.
    """
    # First, so that whoever commits an event after our last look sends a wake-up of its own.
    try:
        tools.flags.lower(shard)
    except CountersUnavailable:
        _log.warning(log_events.WAKE_UP_FAILED, shard=shard)
    turn_ends = tools.monotonic() + TURN_SECONDS
    more = True
    while more and tools.monotonic() < turn_ends:
        more = drain_batch(tools, shard).more
    return more


def drain_batch(tools: Tools, shard: int) -> DrainReport:
    """Apply one batch of the shard in one commit, then project it. Raises StoreUnavailable."""
    began = tools.monotonic()
    report = drain.drain_shard(tools.store, tools.rules, tools.clock, shard, tools.batch_max)
    tools.totals.add(totals.EVENTS_APPLIED, report.applied)
    tools.totals.add(totals.EVENTS_FAILED, report.failed)
    project(tools, report.images)
    if report.applied or report.failed or report.images:
        _log.info(
            log_events.SHARD_DRAINED,
            shard=shard,
            applied=report.applied,
            failed=report.failed,
            counters=len(report.images),
            seconds=round(tools.monotonic() - began, 4),
        )
    return report
