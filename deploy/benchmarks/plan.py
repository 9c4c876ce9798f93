"""How much is measured: everything for the record, or a glance while developing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes and lengths. A figure is the median of `rounds` runs."""

    members: int
    large_members: int
    ledger_visits: int
    rounds: int
    run_seconds: float
    warm_up_seconds: float
    bulk_events: int
    backlog_rounds: int
    streams_of_a_backlog: int
    textbook_events: int
    pgbench_seconds: int
    paced_seconds: float
    paced_rounds: int
    idle_seconds: float


FULL = Plan(
    members=10_000,
    large_members=1_000_000,
    ledger_visits=1_000_000,
    rounds=5,
    run_seconds=4.0,
    warm_up_seconds=3.0,
    bulk_events=20_000,
    backlog_rounds=3,
    streams_of_a_backlog=2,
    textbook_events=4_000,
    pgbench_seconds=4,
    paced_seconds=6.0,
    paced_rounds=3,
    idle_seconds=5.0,
)

QUICK = Plan(
    members=10_000,
    large_members=50_000,
    ledger_visits=50_000,
    rounds=1,
    run_seconds=1.0,
    warm_up_seconds=0.5,
    bulk_events=2_000,
    backlog_rounds=1,
    streams_of_a_backlog=1,
    textbook_events=300,
    pgbench_seconds=1,
    paced_seconds=1.0,
    paced_rounds=1,
    idle_seconds=1.0,
)
