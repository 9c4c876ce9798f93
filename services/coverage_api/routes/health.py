"""`/healthz`, `/readyz` and `/metrics`: for machines that watch this one. No key, nothing about people."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from services.coverage_api.http import Answer, respond
from services.coverage_api.metrics import Metrics
from services.coverage_api.ports import Store
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.ports import Clock

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
READY_SECONDS_MAX = 2.0

Probe = Callable[[], bool]


class Readiness:
    """Whether each part that an answer may need is there.

    Postgres is needed for every answer. Without Redis, or with the worker behind, answers are still
    right (contract I5, I13), so the service is then `degraded`, not unready.
    """

    def __init__(self, store: Store, redis_answers: Probe, clock: Clock, behind_seconds_max: int) -> None:
        """The worker is behind once an event has waited longer than `behind_seconds_max`."""
        self._store = store
        self._redis_answers = redis_answers
        self._clock = clock
        self._behind_seconds_max = behind_seconds_max

    def view(self) -> Response:
        """200 `ready` or `degraded`, 503 `unready`, and each part's own state."""
        now = self._clock()
        try:
            with self._store.transaction(EVERY_PAYER, seconds=READY_SECONDS_MAX) as tx:
                oldest = tx.standing.oldest_due_at(now)
        except StoreUnavailable:
            parts = {"postgres": "down", "redis": self._redis(), "worker": "unknown"}
            return respond(Answer(status=503, body={"status": "unready", "parts": parts}))
        behind = oldest is not None and (now - oldest).total_seconds() > self._behind_seconds_max
        parts = {"postgres": "up", "redis": self._redis(), "worker": "behind" if behind else "up"}
        well = set(parts.values()) == {"up"}
        return respond(Answer(status=200, body={"status": "ready" if well else "degraded", "parts": parts}))

    def _redis(self) -> str:
        return "up" if self._redis_answers() else "down"


def alive() -> Response:
    """200 as long as this process answers at all."""
    return respond(Answer(status=200, body={"status": "alive"}))


def metrics_view(metrics: Metrics) -> Callable[[], Response]:
    """All metrics in Prometheus' text format."""

    def view() -> Response:
        return Response(metrics.render(), content_type=METRICS_TYPE)

    return view
