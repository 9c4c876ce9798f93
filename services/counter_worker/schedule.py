"""What beat sends, and when. Every job is safe to run twice, late, or not at all for a while."""

from __future__ import annotations

from typing import Any

from shared.messages import (
    CLOSE_PERIODS,
    EXPIRE_HOLDS,
    FORGET_EXPIRED,
    PERIODIC_QUEUE,
    PRUNE_AUDIT,
    SAMPLE_DRIFT,
    SWEEP,
    SWEEP_SECONDS,
)

#: Expiry takes effect within five seconds (contract section 6).
EXPIRE_HOLDS_SECONDS = 1.0
SAMPLE_DRIFT_SECONDS = 60.0
PRUNE_AUDIT_SECONDS = 3_600.0
FORGET_EXPIRED_SECONDS = 60.0
CLOSE_PERIODS_SECONDS = 900.0

#: What waited longer in the queue is dropped unread: after an outage one sweep does the work of all.
#: Long enough that clocks of different machines need not agree.
STALE_SECONDS = 30


def beat_schedule() -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule`: an entry per periodic job."""
    every = {
        SWEEP: SWEEP_SECONDS,
        EXPIRE_HOLDS: EXPIRE_HOLDS_SECONDS,
        SAMPLE_DRIFT: SAMPLE_DRIFT_SECONDS,
        PRUNE_AUDIT: PRUNE_AUDIT_SECONDS,
        FORGET_EXPIRED: FORGET_EXPIRED_SECONDS,
        CLOSE_PERIODS: CLOSE_PERIODS_SECONDS,
    }
    return {
        task: {
            "task": task,
            "schedule": seconds,
            "options": {"queue": PERIODIC_QUEUE, "expires": STALE_SECONDS},
        }
        for task, seconds in every.items()
    }
