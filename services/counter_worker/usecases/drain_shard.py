"""Answer a wake-up: apply pending events, batch by batch, and show the outcome."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from services.counter_worker.usecases.project_counters import project
from shared.accounting import drain
from shared.accounting.drain import DrainReport
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import CountersUnavailable

#: Shards with a long backlog let the others have their turn after this.
TURN_SECONDS = 5.0

#: A batch of so many events tells that other shards may have some too, whose wake-ups are still on their way.
BUSY_EVENTS = 16
#: One of so many, or a full one where batches are smaller, tells of a backlog, which several threads drain.
BACKLOG_EVENTS = 100
#: While one of them adjudicates, Postgres works for others; with fewer, all of them are at the one or at the
#: other too often, or wait for the disk or for each other.
THREADS = 6
#: Shards that a thread takes at once of a backlog, at most; the others are free for other workers meanwhile.
SHARDS_AT_ONCE_MAX = 4
#: Not all shards have as much: a part is planned with an eighth more events than were counted, so that one
#: with more than the average still fits a batch.
_SPARE_PART_OF_A_BATCH = 8
#: Wake-ups for so many shards may tell of a backlog, which no single thread need begin.
WOKEN_BY_BACKLOG = 16

_log = structlog.get_logger()


def drain_shard(tools: Tools, shard: int) -> list[int]:
    """Answer the wake-up of a shard, and those that are on their way for others with it.

    Returns the shards that may have more when the turn is over. The wake-ups that come after this one
    find little left to do. Raises StoreUnavailable; what was not committed then is found by the sweep.
    """
    turn_ends = tools.monotonic() + TURN_SECONDS
    raised = _lowered(tools, shard)
    shards = sorted({shard, *raised})
    # A flag that is gone has expired, or was lowered with others': in both cases this wake-up has waited.
    if (shard not in raised or len(shards) >= WOKEN_BY_BACKLOG) and _is_backlog(tools):
        return _drain_backlog(tools, turn_ends)
    while shards:
        # A small batch first: until the threads begin, this one works alone.
        report = drain_batch(tools, shards, BACKLOG_EVENTS)
        if report.applied >= min(BACKLOG_EVENTS, tools.batch_max):
            return _drain_backlog(tools, turn_ends)
        if tools.monotonic() >= turn_ends:
            return shards
        if report.applied >= BUSY_EVENTS:
            shards = _with_work(tools)
        elif not report.more:
            return []
    return []


def _with_work(tools: Tools) -> list[int]:
    with tools.store.transaction(EVERY_PAYER) as tx:
        return tx.jobs.shards_with_work(tools.clock())


def _is_backlog(tools: Tools) -> bool:
    """Whether more than a batch waits."""
    with tools.store.transaction(EVERY_PAYER) as tx:
        return tx.jobs.waiting(tools.batch_max + 1) > tools.batch_max


def _drain_backlog(tools: Tools, turn_ends: float) -> list[int]:
    """Drain every shard that has work, some at a time in each thread; those left when the turn is over.

    Meanwhile the standby's sweep drains none: it would take shards from under the threads.
    """
    with tools.backlog:
        return _drain_in_threads(tools, turn_ends)


def _drain_in_threads(tools: Tools, turn_ends: float) -> list[int]:
    parts = deque(_parts(tools))

    def work() -> None:
        while tools.monotonic() < turn_ends and (part := _next_of(parts)):
            if drain_batch(tools, part).more:
                parts.append(part)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="drain") as pool:
        turns = [pool.submit(work) for _ in range(THREADS)]
    for turn in turns:
        turn.result()
    return [shard for part in parts for shard in part]


def _parts(tools: Tools) -> list[list[int]]:
    """The shards that have work, in parts of which a thread takes a batch.

    A part has no more than fits into a batch, so that all events of a member come together: each is read,
    written and shown once for all of them. The last parts are smaller, so that the threads come to an end
    together.
    """
    with tools.store.transaction(EVERY_PAYER) as tx:
        shards = tx.jobs.shards_with_work(tools.clock())
        waiting = tx.jobs.waiting(tools.batch_max * max(1, len(shards)))
    at_once = tools.batch_max * len(shards) // max(1, waiting + waiting // _SPARE_PART_OF_A_BATCH)
    parts = []
    while shards:
        some = max(1, min(at_once, SHARDS_AT_ONCE_MAX, len(shards) // THREADS))
        parts.append(shards[:some])
        shards = shards[some:]
    return parts


def _next_of(parts: deque[list[int]]) -> list[int]:
    """The next part, for whichever thread comes first; empty when none is left."""
    try:
        return parts.popleft()
    except IndexError:
        return []


def _lowered(tools: Tools, shard: int) -> list[int]:
    """The shards whose flag was up, or just this one where nobody can say.

    The flags are lowered first, so that whoever commits an event after our last look sends a wake-up
    of its own.
    """
    try:
        return tools.flags.lower_raised()
    except CountersUnavailable:
        _log.warning(log_events.WAKE_UP_FAILED, shard=shard)
        return [shard]


def drain_batch(tools: Tools, shards: Sequence[int], events_max: int | None = None) -> DrainReport:
    """Apply one batch of the shards in one commit, then project it. Raises StoreUnavailable.

    The batch has about `events_max` events at most, and never more than the tools allow (`batch_max`).
    """
    began = tools.monotonic()
    size = tools.batch_max if events_max is None else min(events_max, tools.batch_max)
    report = drain.drain_shards(tools.store, tools.rules, tools.clock, shards, size, tools.turns)
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
