"""The service's processes, forked from one that has everything imported, so that each costs little.

What runs in them is what runs in production: the API's application behind sockets, a Celery worker on its
broker, the operator's command. Each has its own process id and connections, and dies as a whole.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from celery import Celery
from werkzeug.serving import make_server

from services.counter_worker.bootstrap import build_app
from services.counter_worker.settings import Settings as WorkerSettings
from services.coverage_api.bootstrap import build
from services.coverage_api.settings import Settings
from services.operator_cli.main import main as needlecap
from services.operator_cli.runner.ports import LOOPBACK
from shared.adapters.environment import Environment
from shared.failpoints import EXIT_CODE, Failpoint
from tests.api_service import HASH_KEY

DEATH_SECONDS_MAX = 60.0
#: The first process waits until everything is imported, once for all of them.
START_SECONDS_MAX = 100.0
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the database and Redis are."""

    database_url: str
    redis_url: str

    def environment(self, failpoint: Failpoint | None = None) -> Environment:
        """What a service reads from its environment."""
        return Environment(
            database_url=self.database_url,
            redis_url=self.redis_url,
            broker_url=self.redis_url.rsplit("/", 1)[0] + "/1",
            hash_key=HASH_KEY,
            log_level="critical",
            failpoint=failpoint,
        )


class Running:
    """A process that was started, and how it ended."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        """Start it."""
        self._process: ForkServerProcess = _context.Process(target=target, args=arguments, daemon=True)
        self._process.start()

    def died_at_its_failpoint(self) -> bool:
        """Wait for its end; whether it ended where it was armed for."""
        self._process.join(DEATH_SECONDS_MAX)
        return self._process.exitcode == EXIT_CODE

    def ended_well(self) -> bool:
        """Wait for its end; whether it came to that by itself, with nothing wrong."""
        self._process.join(DEATH_SECONDS_MAX)
        return self._process.exitcode == 0

    def end(self) -> None:
        """Kill it, unless it has ended."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(DEATH_SECONDS_MAX)
        self._process.close()


@contextlib.contextmanager
def api(servers: Servers, port: int, failpoint: Failpoint | None = None) -> Iterator[Running]:
    """The API on a port, within the block."""
    ready, tell = _context.Pipe(duplex=False)
    process = Running(_serve, servers, port, failpoint, tell)
    tell.close()
    try:
        assert ready.poll(START_SECONDS_MAX), "the API did not come up"
        ready.close()
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def worker(servers: Servers, failpoint: Failpoint | None = None) -> Iterator[Running]:
    """A worker on the broker, within the block."""
    process = Running(_work, servers, failpoint)
    try:
        yield process
    finally:
        process.end()


def command(servers: Servers, data_dir: str, arguments: list[str], failpoint: Failpoint | None) -> bool:
    """Run an operator's command to its end; whether that was at the failpoint (without one: exit code 0)."""
    process = Running(_operate, servers, data_dir, arguments, failpoint)
    try:
        if failpoint is not None:
            return process.died_at_its_failpoint()
        return process.ended_well()
    finally:
        process.end()


def _serve(servers: Servers, port: int, failpoint: Failpoint | None, ready: Connection) -> None:
    service = build(Settings(environment=servers.environment(failpoint), backlog_seconds_max=0))
    server = make_server(LOOPBACK, port, service.app, threaded=True)
    ready.send(None)
    server.serve_forever()


def _work(servers: Servers, failpoint: Failpoint | None) -> None:
    app: Celery = build_app(WorkerSettings(environment=servers.environment(failpoint)))
    app.Worker(pool="solo", without_gossip=True, without_mingle=True, quiet=True).start()


def _operate(servers: Servers, data_dir: str, arguments: list[str], failpoint: Failpoint | None) -> None:
    environment: Mapping[str, str] = {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
        "NEEDLECAP_FAILPOINT": str(failpoint) if failpoint is not None else "",
    }
    os.environ.update(environment)
    needlecap([*arguments, "--data-dir", data_dir])
