"""Find and do what no wake-up told of: the reason why nothing may live in the broker alone."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.counter_worker import log_events
from services.counter_worker.ports import Tools
from services.counter_worker.usecases.drain_shard import drain_batch
from services.counter_worker.usecases.project_counters import project_waiting
from shared.accounting.drain import DRAIN_SECONDS
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.failpoints import Step, around
from shared.messages import SWEEP

#: The job noted beside the sweep itself when beat asked for it: beat's own sign of life.
BEAT = "needlecap.beat"

#: No new batch is begun after this, so that wake-ups, which are for whoever waits, get their turn.
TURN_SECONDS = 2.0

#: The transaction that keeps other sweeps away lasts as long as the turn, its last batch and the
#: projecting after it.
GUARD_SECONDS = TURN_SECONDS + DRAIN_SECONDS + 10.0

_log = structlog.get_logger()


def sweep(tools: Tools, *, from_beat: bool = False) -> bool:
    """Drain every shard that has work, project every counter that waits, and leave a sign of life.

    One of beat's too, if it is `from_beat` that this comes. False if another worker is at it. Raises
    StoreUnavailable, and an ExceptionGroup of what befell single parts after all had their turn.
    """
    with tools.store.transaction(EVERY_PAYER, seconds=GUARD_SECONDS) as guard:
        if not guard.jobs.claim(SWEEP):
            return False
        # Threads that drain a backlog have every shard in turn. What a sweep took from under them they would
        # leave to it, and it has only one thread for it all.
        shards = [] if tools.backlog.locked() else guard.jobs.shards_with_work(tools.clock())
        applied, failures = _drain(tools, shards)
        projected = _project(tools, failures)
        guard.jobs.gather_event_counts()
        with tools.totals.taken() as counts:
            guard.jobs.add_totals(counts)
            guard.jobs.note_run(SWEEP)
            if from_beat:
                guard.jobs.note_run(BEAT)
            with around(Step.SWEEP_COMMIT):
                guard.commit()
    if applied or projected:
        _log.info(log_events.SWEPT, shards=len(shards), applied=applied, counters=projected)
    if failures:
        raise ExceptionGroup("parts of a sweep that failed", failures)
    return True


def _project(tools: Tools, failures: list[Exception]) -> int:
    try:
        return project_waiting(tools)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - raised with its like after the sign of life
        failures.append(error)
        return 0


def _drain(tools: Tools, shards: Sequence[int]) -> tuple[int, list[Exception]]:
    """Drain these shards together until none has more or the turn is over; if that fails, one by one."""
    turn_ends = tools.monotonic() + TURN_SECONDS
    applied, more = 0, bool(shards)
    try:
        while more and tools.monotonic() < turn_ends:
            report = drain_batch(tools, shards)
            applied, more = applied + report.applied, report.more
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - raised with its like once all had their turn
        alone, failures = _drain_in_turns(tools, shards, turn_ends)
        return applied + alone, [error, *failures]
    return applied, []


def _drain_in_turns(tools: Tools, shards: Sequence[int], turn_ends: float) -> tuple[int, list[Exception]]:
    """One batch of each shard after the other, until none has more or the turn is over."""
    applied = 0
    failures: list[Exception] = []
    left = list(shards)
    while left:
        again = []
        for shard in left:
            if tools.monotonic() >= turn_ends:
                return applied, failures
            try:
                report = drain_batch(tools, [shard])
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - raised with its like once all had their turn
                failures.append(error)
                continue
            applied += report.applied
            if report.more:
                again.append(shard)
        left = again
    return applied, failures
