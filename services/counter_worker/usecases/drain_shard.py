"""Answer a wake-up: apply pending events, batch by batch, and show the outcome."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from services.counter_worker.usecases.project_counters import project
from shared.accounting import drain
from shared.accounting.drain import DrainReport
from shared.domain.errors import CountersUnavailable

#: Shards with a long backlog let the others have their turn after this.
TURN_SECONDS = 5.0

_log = structlog.get_logger()


def drain_shard(tools: Tools, shard: int) -> list[int]:
    """Answer the wake-up of a shard, and those that are on their way for others with it.

    Returns the shards that may have more when the turn is over. The wake-ups that come after this one
    find little left to do. Raises StoreUnavailable; what was not committed then is found by the sweep.
    """
    shards = _woken(tools, shard)
    turn_ends = tools.monotonic() + TURN_SECONDS
    while drain_batch(tools, shards).more:
        if tools.monotonic() >= turn_ends:
            return shards
    return []


def _woken(tools: Tools, shard: int) -> list[int]:
    """This shard and every other whose flag is up.

    The flags are lowered first, so that whoever commits an event after our last look sends a wake-up
    of its own.
    """
    try:
        return sorted({shard, *tools.flags.lower_raised()})
    except CountersUnavailable:
        _log.warning(log_events.WAKE_UP_FAILED, shard=shard)
        return [shard]


def drain_batch(tools: Tools, shards: Sequence[int]) -> DrainReport:
    """Apply one batch of the shards in one commit, then project it. Raises StoreUnavailable."""
    began = tools.monotonic()
    report = drain.drain_shards(tools.store, tools.rules, tools.clock, shards, tools.batch_max)
    tools.totals.add(totals.EVENTS_APPLIED, report.applied)
    tools.totals.add(totals.EVENTS_FAILED, report.failed)
    project(tools, report.images)
    if report.applied or report.failed or report.images:
        _log.info(
            log_events.SHARDS_DRAINED,
            shards=len(shards),
            applied=report.applied,
            failed=report.failed,
            counters=len(report.images),
            seconds=round(tools.monotonic() - began, 4),
        )
    return report
