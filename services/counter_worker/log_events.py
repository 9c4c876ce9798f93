"""What the worker says in its log. Fields are numbers, shards and kinds: nothing about people (I8)."""

from __future__ import annotations

#: Events of a shard were applied: shard, applied, failed, counters, seconds.
SHARDS_DRAINED = "shards_drained"
#: Counters could not be written; the sweep finds them: counters.
PROJECTION_FAILED = "projection_failed"
#: A wake flag could not be lowered, or a further wake-up sent; the sweep finds the work: shard.
WAKE_UP_FAILED = "wake_up_failed"
#: The sweep found work: shards, applied, counters.
SWEPT = "swept"
#: Holds expired: holds.
HOLDS_EXPIRED = "holds_expired"
#: Counters differed from the accumulators and were put right: compared, behind, ahead, different.
DRIFT_FOUND = "drift_found"
#: Entries of the audit trail were deleted, having been kept long enough: entries.
AUDIT_PRUNED = "audit_pruned"
#: Benefit periods that are over were reported: closed, amended, and the sums members, used, held.
PERIODS_CLOSED = "periods_closed"
#: The broker cannot be reached: kind of the error; and it can again.
BROKER_AWAY = "broker_away"
BROKER_BACK = "broker_back"
#: Nothing comes through the broker, so the worker sweeps by itself; and the end of that.
STANDBY_BEGAN = "standby_began"
STANDBY_ENDED = "standby_ended"
#: The process ends so that it is started anew: why.
GIVING_UP = "giving_up"
#: Postgres could not answer a job; its work is still there: job.
STORE_UNAVAILABLE = "store_unavailable"
#: A bug: job, the kind of exception and where it came from, but not its text, which may quote data.
JOB_FAILED = "job_failed"
#: The health check's verdict: faults.
HEALTH = "health"
