"""What we ask of Celery's consumer beyond what it does: to come back soon, and never to fall silent."""

from __future__ import annotations

from typing import Any

import structlog
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from celery.worker.state import maybe_shutdown

from services.counter_worker import log_events

#: Between two attempts to reach the broker. Celery's own waits grow to thirty seconds.
RETRY_SECONDS = 0.5

_log = structlog.get_logger()


class PatientConsumer(Consumer):
    """Tries for ever and at a steady pace, and says so once per outage."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect `conn` (a kombu connection), however long it takes, and return it."""
        said = False

        def say(error: BaseException, _interval: float) -> None:
            nonlocal said
            if not said:
                said = True
                _log.warning(log_events.BROKER_AWAY, kind=type(error).__name__)

        connected = conn.ensure_connection(
            say,
            None,
            interval_start=RETRY_SECONDS,
            interval_step=0,
            interval_max=RETRY_SECONDS,
            # Lets a request to stop end the waiting.
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        if said:
            _log.warning(log_events.BROKER_BACK)
        return connected


class StrictRequest(Request):
    """A task whose acknowledgement arrives, or whose connection is given up.

    Celery logs an acknowledgement that failed and goes on. Then the message counts as taken for ever,
    and a consumer that takes one at a time never asks for another. A failure that is raised makes it
    connect anew; the task comes once more, which does no harm.
    """

    def acknowledge(self) -> None:
        """Acknowledge the message. Raises the broker's connection errors."""
        if not self.acknowledged:
            self.message.ack()
            self.acknowledged = True
