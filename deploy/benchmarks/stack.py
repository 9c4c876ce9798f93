"""The whole service for a benchmark: real servers as `make run` starts them, on pinned cores.

The processes are those of the runner's own process table, with the same command lines, on chosen
cores. Three settings differ: PostgreSQL keeps more files of its log (`min_wal_size`), the API takes events
while others wait for up to a day (`NEEDLECAP_BACKLOG_SECONDS_MAX`), and the client may send a million
requests a second.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import redis

from deploy.benchmarks.cores import Cores, move, pinned
from services.operator_cli.catalog_loading import load
from services.operator_cli.clients import open_clients
from services.operator_cli.migrations import migrate
from services.operator_cli.runner import ports
from services.operator_cli.runner.child import Child, ChildSpec
from services.operator_cli.runner.postgres import EmbeddedPostgres
from services.operator_cli.runner.services import ServicePlan
from services.operator_cli.runner.valkey import EmbeddedValkey
from shared.adapters.postgres.database import APPLICATION_ROLE
from shared.domain.client_key import new_key

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.02
CLIENT_ID = "cli_benchmark"
#: Files of PostgreSQL's log that are written over again and again, and the size of each.
LOG_FILES_KEPT = 64
LOG_FILE_MIB = 16
#: What must be on for a commit to survive a crash of the machine.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class NotDurable(Exception):
    """A server would lose what it has confirmed; its figures would say nothing."""


class StartFailed(Exception):
    """A process did not come to answer; its log says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One installation: a database, two Redis databases and a key to call its API with."""

    name: str
    database_url: str
    redis_url: str
    broker_url: str
    hash_key: bytes = field(repr=False)
    key: str = field(repr=False)
    api_port: int


class Stack:
    """Servers and services of one benchmark, all below one directory."""

    def __init__(self, directory: Path, cores: Cores) -> None:
        """Nothing runs yet. The directory is empty."""
        self.directory = directory
        self.cores = cores
        self._children: list[Child] = []
        self.environment = dict(os.environ)
        for name in ("postgres", "valkey", "logs"):
            (directory / name).mkdir(mode=0o700)
        postgres_port = ports.choose(None)
        self.postgres = EmbeddedPostgres(
            directory=directory / "postgres",
            port=postgres_port,
            password=secrets.token_urlsafe(24),
            environment=self.environment,
            log_path=directory / "logs" / "postgres.log",
            settings={"min_wal_size": f"{LOG_FILES_KEPT * LOG_FILE_MIB}MB"},
        )
        self.valkey = EmbeddedValkey(
            directory=directory / "valkey",
            port=ports.choose(None, taken=[postgres_port]),
            password=secrets.token_urlsafe(24),
            environment=self.environment,
            log_path=directory / "logs" / "valkey.log",
        )
        self._sites = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[Stack]:
        """Start both servers; at the end everything that was started is stopped."""
        try:
            self.postgres.prepare()
            self.valkey.prepare()
            self._postgres = self.start(self.postgres.spec(), self.cores.both)
            self._valkey = self.start(self.valkey.spec(), self.cores.both)
            self._use_up_log_files()
            yield self
        finally:
            for child in reversed(self._children):
                stop(child)

    def _use_up_log_files(self) -> None:
        """Have PostgreSQL's log reach where it writes over old files, as that of a server at work does.

        A new server makes each file anew, and whoever commits then waits for sixteen mebibytes of zeros.
        """
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            for _ in range(LOG_FILES_KEPT):
                connection.execute("select pg_logical_emit_message(false, 'benchmark', '')")
                connection.execute("select pg_switch_wal()")
            connection.execute("checkpoint")

    def new_site(self, name: str) -> Site:
        """A migrated database with the packaged catalog and one EHR client. Raises NotDurable."""
        self.postgres.create_database(name)
        url = self.postgres.url(name)
        migrate(url)
        require_durable(url)
        load(url, datetime.now(UTC))
        hash_key = secrets.token_bytes(32)
        key, _ = new_key(secrets.token_bytes)
        with open_clients(url, hash_key, lambda: CLIENT_ID) as clients:
            clients.create(name="benchmark", role="ehr", payers=["*"], key=key, requests_per_second=1_000_000)
        first = 2 * self._sites
        self._sites += 1
        return Site(
            name=name,
            database_url=url,
            redis_url=self.valkey.url(first),
            broker_url=self.valkey.url(first + 1),
            hash_key=hash_key,
            key=key,
            api_port=ports.choose(None),
        )

    def start(self, spec: ChildSpec, cores: Iterable[int]) -> Child:
        """Start a process on these cores and wait until it answers. Raises StartFailed."""
        child = Child(replace(spec, argv=pinned(spec.argv, cores)), time.monotonic())
        self._children.append(child)
        limit = time.monotonic() + START_SECONDS_MAX
        while not spec.answers():
            if child.exit_code() is not None or time.monotonic() > limit:
                raise StartFailed(f"{spec.name} does not answer:\n{spec.log_path.read_text()[-2000:]}")
            time.sleep(LOOK_SECONDS)
        return child

    def services(self, site: Site) -> dict[str, ChildSpec]:
        """API, worker and beat of a site, by name."""
        logs_dir, beat_dir = (self.directory / f"{name}-{site.name}" for name in ("logs", "beat"))
        for made in (logs_dir, beat_dir):
            made.mkdir(exist_ok=True)
        plan = ServicePlan(
            api_port=site.api_port,
            broker_url=site.broker_url,
            environment={
                **self.environment,
                "DATABASE_URL": site.database_url,
                "REDIS_URL": site.redis_url,
                "BROKER_URL": site.broker_url,
                "NEEDLECAP_HASH_KEY": site.hash_key.hex(),
                # Events are posted for longer than they may usually wait, while no worker runs.
                "NEEDLECAP_BACKLOG_SECONDS_MAX": "86400",
            },
            logs_dir=logs_dir,
            beat_dir=beat_dir,
        )
        return {spec.name: spec for spec in plan.specs()}

    def servers_on(self, cores: Iterable[int]) -> None:
        """Keep both servers on these cores."""
        for child in (self._postgres, self._valkey):
            move(child.pid, cores)

    def program(self, name: str) -> Path:
        """A program that came with the embedded PostgreSQL, such as pgbench."""
        return Path(self.postgres.spec().argv[0]).with_name(name)

    def server_pids(self) -> dict[str, int]:
        """The process ids of the servers, by name."""
        return {"postgres": self._postgres.pid, "valkey": self._valkey.pid}


def stop(child: Child) -> None:
    """Ask a process to end, and end it if it does not in time."""
    child.ask_to_stop()
    limit = time.monotonic() + STOP_SECONDS_MAX
    while child.exit_code() is None and time.monotonic() < limit:
        time.sleep(LOOK_SECONDS)
    child.kill()


def require_durable(database_url: str) -> None:
    """Raises NotDurable unless a commit by the services' role survives a crash of the machine."""
    with psycopg.connect(database_url) as connection:
        connection.execute(f"set role {APPLICATION_ROLE}")
        for name, wanted in DURABLE.items():
            row = connection.execute("select current_setting(%s)", [name]).fetchone()
            if row is None or row[0] != wanted:
                raise NotDurable(f"{name} is not {wanted}")


def await_true(condition: Callable[[], bool], seconds_max: float, what: str) -> None:
    """Return once the condition holds. Raises TimeoutError naming `what` if it does not in time."""
    limit = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"{what} took more than {seconds_max:.0f} seconds")
        time.sleep(LOOK_SECONDS)


def redis_client(url: str) -> redis.Redis:
    """A plain client, for looking on from outside."""
    return redis.Redis.from_url(url)
