"""Whether the worker does its work: what counts is what is left undone, not that a process runs."""

from __future__ import annotations

from services.counter_worker.ports import Store
from services.counter_worker.usecases.sweep import BEAT
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.messages import SWEEP

NO_ANSWER = "Postgres does not answer"


def judge_health(store: Store, seconds_max: float) -> list[str]:
    """What is wrong, nothing if all is well.

    No event that could be applied may have waited longer than `seconds_max`, and no longer may have
    passed since a sweep came to its end.
    """
    try:
        with store.transaction(EVERY_PAYER) as tx:
            now = tx.jobs.now()
            oldest = tx.standing.oldest_due_at(now)
            since_sweep = tx.jobs.seconds_since(SWEEP)
    except StoreUnavailable:
        return [NO_ANSWER]
    faults = []
    if oldest is not None and (waited := (now - oldest).total_seconds()) > seconds_max:
        faults.append(f"an event has been waiting for {waited:.0f} seconds")
    return faults + _overdue("sweep", since_sweep, seconds_max)


def judge_beat(store: Store, seconds_max: float) -> list[str]:
    """What is wrong with beat: no sweep that it asked for came to its end for longer than `seconds_max`.

    The fault may also lie with the broker or the worker, on the way from beat to the sweep.
    """
    try:
        with store.transaction(EVERY_PAYER) as tx:
            since_beat = tx.jobs.seconds_since(BEAT)
    except StoreUnavailable:
        return [NO_ANSWER]
    return _overdue("sweep that beat asked for", since_beat, seconds_max)


def _overdue(what: str, seconds: float | None, seconds_max: float) -> list[str]:
    if seconds is None:
        return [f"there was no {what} yet"]
    return [f"the last {what} was {seconds:.0f} seconds ago"] if seconds > seconds_max else []
