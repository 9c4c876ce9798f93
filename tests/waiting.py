"""Waiting for a condition, with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LIMIT_SECONDS = 30.0
LOOK_SECONDS = 0.02


def wait_for(condition: Callable[[], object], limit_seconds: float = LIMIT_SECONDS) -> None:
    """Return as soon as the condition holds; fail if it does not within the limit."""
    deadline = time.monotonic() + limit_seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not hold within {limit_seconds:.0f} seconds"
        pause.wait(LOOK_SECONDS)
