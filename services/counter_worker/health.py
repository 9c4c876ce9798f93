"""The worker's health check: `python -m services.counter_worker.health`. Exits with 0 if all is well."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import structlog

from services.counter_worker import log_events
from services.counter_worker.bootstrap import open_store
from services.counter_worker.settings import load_settings
from services.counter_worker.usecases.judge_health import judge_beat, judge_health
from shared.adapters.logs import configure_logs

SECONDS_MAX = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, say why not, and return the exit code. Raises SettingsError."""
    parser = argparse.ArgumentParser(description="Whether the counter worker does its work.")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS_MAX, help="how long anything may be left undone"
    )
    parser.add_argument("--beat", action="store_true", help="judge beat instead: whether its sweeps arrive")
    options = parser.parse_args(arguments)
    settings = load_settings()
    configure_logs(settings.environment.log_level)
    store = open_store(settings, connections_max=1)
    try:
        faults = (judge_beat if options.beat else judge_health)(store, options.seconds)
    finally:
        store.close()
    if faults:
        structlog.get_logger().error(log_events.HEALTH, faults=faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
