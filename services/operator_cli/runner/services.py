"""The process table of the services: what the runner starts once the servers answer."""

from __future__ import annotations

import http
import http.client
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from services.operator_cli.runner.child import ChildSpec
from services.operator_cli.runner.ports import LOOPBACK
from shared.adapters.celery_broker import configure_broker
from shared.messages import QUEUES

API = "services.coverage_api.wsgi:app"
WORKER = "services.counter_worker.app:app"
WORKER_NODE = "worker@needlecap"
#: Threads wait for slow senders; the API itself bounds how many calls are worked on at once.
API_THREADS = 256
PROBE_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """Where the services work. `environment` is all that their processes see."""

    api_port: int
    broker_url: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    logs_dir: Path
    beat_dir: Path

    def specs(self) -> tuple[ChildSpec, ...]:
        """API, worker and beat, in the order of starting."""
        return (self._api(), self._worker(), self._beat())

    def _api(self) -> ChildSpec:
        return self._python(
            "api",
            (
                *("granian", "--interface", "wsgi", API),
                *("--host", LOOPBACK, "--port", str(self.api_port), "--http", "1", "--no-ws"),
                *("--workers", "1", "--blocking-threads", str(API_THREADS), "--backlog", "2048"),
                # One that fails is started again by the runner, which says so.
                *("--no-respawn-failed-workers", "--workers-kill-timeout", "8", "--log-level", "warning"),
            ),
            answers=self._api_answers,
        )

    def _worker(self) -> ChildSpec:
        return self._python(
            "worker",
            (
                *("celery", "--quiet", "-A", WORKER, "worker", "--queues", ",".join(QUEUES)),
                # One process: draining is set-based, and the shards' locks keep further ones apart.
                *("--pool", "solo", "--concurrency", "1", "--hostname", WORKER_NODE),
                *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
            ),
            answers=self._worker_answers,
        )

    def _beat(self) -> ChildSpec:
        schedule = self.beat_dir / "schedule"
        return self._python(
            "beat",
            (
                *("celery", "--quiet", "-A", WORKER, "beat"),
                *("--schedule", str(schedule), "--pidfile", "", "--loglevel", "INFO"),
            ),
            answers=self._beat_answers,
        )

    def _python(self, name: str, module: tuple[str, ...], answers: Callable[[], bool]) -> ChildSpec:
        return ChildSpec(
            name=name,
            argv=(sys.executable, "-m", *module),
            environment=self.environment,
            log_path=self.logs_dir / f"{name}.log",
            answers=answers,
        )

    def _api_answers(self) -> bool:
        """Whether the API says that it is ready, database and Redis included."""
        connection = http.client.HTTPConnection(LOOPBACK, self.api_port, timeout=PROBE_SECONDS_MAX)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _worker_answers(self) -> bool:
        """Whether the worker consumes: it replies to a ping that goes through the broker."""
        app = Celery(set_as_current=False)
        configure_broker(app, self.broker_url)
        try:
            return bool(app.control.ping(destination=[WORKER_NODE], timeout=PROBE_SECONDS_MAX, limit=1))
        except (OSError, KombuError, RedisError):
            return False
        finally:
            app.close()

    def _beat_answers(self) -> bool:
        """Whether beat has opened its schedule; it serves nothing that could be asked."""
        return any(self.beat_dir.iterdir())
