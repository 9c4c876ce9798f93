"""The whole service as processes that may be killed: two APIs, two workers, beat, Valkey, PostgreSQL.

The processes are those of the runner's own process table. What ends is started again a moment later on
the same port and the same data, as a supervisor does; the second API and the second worker reach
PostgreSQL through a proxy, whose connections can be cut.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from services.operator_cli.catalog_loading import load
from services.operator_cli.clients import open_clients
from services.operator_cli.migrations import migrate
from services.operator_cli.runner import ports
from services.operator_cli.runner.child import Child, ChildSpec, log_tail
from services.operator_cli.runner.postgres import EmbeddedPostgres
from services.operator_cli.runner.services import WORKER_NODE, ServicePlan
from services.operator_cli.runner.valkey import EmbeddedValkey
from shared.adapters.environment import broker_url_beside
from shared.domain.client_key import new_key
from tests.proxy import Proxy
from tests.waiting import wait_for

APIS = ("api-1", "api-2")
WORKERS = ("worker-1", "worker-2")
#: What is not told apart when it is counted how often it was killed.
KINDS = {"api-1": "api", "api-2": "api", "worker-1": "worker", "worker-2": "worker"}
RESTART_SECONDS = 0.2
START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 20.0


@dataclass(slots=True, kw_only=True)
class _Post:
    """A process's place: who holds it, and when a successor may start."""

    spec: ChildSpec
    child: Child | None = None
    restart_at: float = 0.0
    serves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A system that calls: its name, id and key."""

    name: str
    client_id: str
    key: str = field(repr=False)


class Plant:
    """Everything that runs, below one directory. One thread makes every call but `url` and `port`."""

    def __init__(self, directory: Path, *, settings: Mapping[str, str]) -> None:
        """Nothing runs yet; `settings` are added to PostgreSQL's."""
        self.directory = directory
        for name in ("postgres", "valkey", "logs", "beat"):
            (directory / name).mkdir(mode=0o700)
        taken: list[int] = []
        for _ in range(4):
            taken.append(ports.choose(None, taken=taken))
        self._api_ports = dict(zip(APIS, taken, strict=False))
        self.postgres = EmbeddedPostgres(
            directory=directory / "postgres",
            port=taken[2],
            password=secrets.token_urlsafe(24),
            environment=dict(os.environ),
            log_path=directory / "logs" / "postgres.log",
            settings={"max_connections": "200", **settings},
        )
        self.valkey = EmbeddedValkey(
            directory=directory / "valkey",
            port=taken[3],
            password=secrets.token_urlsafe(24),
            environment=dict(os.environ),
            log_path=directory / "logs" / "valkey.log",
        )
        self.hash_key = secrets.token_bytes(32)
        self.proxy = Proxy(ports.LOOPBACK, taken[2])
        self._posts: dict[str, _Post] = {}
        self._paused: list[tuple[float, list[psutil.Process]]] = []
        self.restarts = 0
        #: How long the API that came up last took for it: as long as a worker is taken to need.
        self._start_seconds = 0.0
        #: When an API was stopped, from and until, as a monotonic clock has it.
        self.api_pauses: list[tuple[float, float]] = []

    @property
    def url(self) -> str:
        """The database, as its superuser."""
        return self.postgres.url()

    @property
    def api_ports(self) -> list[int]:
        """Where the APIs listen."""
        return list(self._api_ports.values())

    @contextlib.contextmanager
    def running(self) -> Iterator[Plant]:
        """Everything runs within the block, on a new database with the packaged catalog."""
        with self.proxy.running():
            try:
                self._start_servers()
                self._start_services()
                yield self
            finally:
                self.stop([*APIS, *WORKERS, "beat", "valkey", "postgres"])

    def new_caller(self, name: str, role: str) -> Caller:
        """A client with this role, who sees every payer."""
        key, _ = new_key(secrets.token_bytes)
        client_id = f"cli_{name}"
        with open_clients(self.url, self.hash_key, lambda: client_id) as clients:
            clients.create(name=name, role=role, payers=["*"], key=key)
        return Caller(name=name, client_id=client_id, key=key)

    def environment(self, database_url: str | None = None) -> dict[str, str]:
        """What a process of the service sees."""
        return {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url or self.url,
            "REDIS_URL": self.valkey.url(),
            "BROKER_URL": broker_url_beside(self.valkey.url()),
            "NEEDLECAP_HASH_KEY": self.hash_key.hex(),
            "NEEDLECAP_LOG_LEVEL": "warning",
        }

    # What happens to the processes

    def keep(self) -> None:
        """Start again what has ended, and let go on what was stopped long enough."""
        now = time.monotonic()
        for until, processes in list(self._paused):
            if now >= until:
                self._paused.remove((until, processes))
                _signal(processes, signal.SIGCONT)
        for post in self._posts.values():
            if post.child is not None and post.child.exit_code() is not None:
                post.child, post.restart_at = None, now + RESTART_SECONDS
            if post.child is None and now >= post.restart_at:
                post.child, post.serves = Child(post.spec, now), False
                self.restarts += 1
        for name, port in self._api_ports.items():
            post = self._posts[name]
            if post.child is not None and not post.serves and _listens(port):
                post.serves = True
                self._start_seconds = now - post.child.started_at

    def is_up(self, name: str) -> bool:
        """Whether a process has started as far as it has to before it is of use."""
        post = self._posts[name]
        if post.child is None or name in {"postgres", "valkey"}:
            return post.child is not None
        if name in APIS:
            return post.serves
        return time.monotonic() - post.child.started_at >= self._start_seconds

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> bool:
        """Send a process a signal that ends it, the whole of it; False if it is down already.

        PostgreSQL's backends find out by themselves, as they do when only their parent is killed.
        """
        child = self._posts[name].child
        if child is None or child.exit_code() is not None:
            return False
        if name == "postgres":
            os.kill(child.pid, number)
        else:
            os.killpg(child.pid, number)
        return True

    def pause(self, name: str, seconds: float) -> bool:
        """Stop a process, with everything that it has started, for a while."""
        child = self._posts[name].child
        if child is None or child.exit_code() is not None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(child.pid)
            family = [process, *process.children(recursive=True)]
            _signal(family, signal.SIGSTOP)
            now = time.monotonic()
            self._paused.append((now + seconds, family))
            if name in APIS:
                # Time goes by until it is scheduled again, on a machine that is busy.
                self.api_pauses.append((now, now + seconds + 1))
        return True

    def empty_valkey(self) -> bool:
        """Kill Valkey and take its files away, so that it comes back with nothing."""
        if not self.kill("valkey"):
            return False
        post = self._posts["valkey"]
        assert post.child is not None
        wait_for(lambda: post.child is None or post.child.exit_code() is not None)
        shutil.rmtree(self.directory / "valkey" / "appendonlydir", ignore_errors=True)
        return True

    def end_sessions(self) -> None:
        """Have PostgreSQL end every session that a service has. Raises psycopg.Error."""
        with psycopg.connect(self.url, connect_timeout=2, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )

    def let_go_on(self) -> None:
        """Let everything that was stopped go on now."""
        for _, processes in self._paused:
            _signal(processes, signal.SIGCONT)
        self._paused.clear()

    def stop(self, names: list[str]) -> None:
        """Ask processes to end, all at once, and end those that do not."""
        self.let_go_on()
        children = [post.child for name in names if (post := self._posts.pop(name, None)) and post.child]
        for child in children:
            child.ask_to_stop()
        limit = time.monotonic() + STOP_SECONDS_MAX
        for child in children:
            while child.exit_code() is None and time.monotonic() < limit:
                time.sleep(0.02)
            child.kill()

    # Starting

    def _start_servers(self) -> None:
        self.postgres.prepare()
        self.valkey.prepare()
        for spec in (self.valkey.spec(), self.postgres.spec()):
            self._start(spec)
        self._await([self._posts["valkey"], self._posts["postgres"]])
        self.postgres.create_database()
        migrate(self.url)
        load(self.url, datetime.now(UTC))

    def _start_services(self) -> None:
        aside = urlsplit(self.url)
        place = f"{aside.netloc.rpartition(':')[0]}:{self.proxy.port}"
        proxied = aside._replace(netloc=place).geturl()
        for number, url in ((1, self.url), (2, proxied)):
            plan = ServicePlan(
                api_port=self._api_ports[f"api-{number}"],
                broker_url=broker_url_beside(self.valkey.url()),
                environment=self.environment(url),
                logs_dir=self.directory / "logs",
                beat_dir=self.directory / "beat",
            )
            for spec in plan.specs():
                if spec.name != "beat":
                    self._start(_numbered(spec, number))
                elif number == 1:
                    self._start(spec)
        self._await([self._posts[name] for name in APIS])

    def _start(self, spec: ChildSpec) -> None:
        self._posts[spec.name] = _Post(spec=spec, child=Child(spec, time.monotonic()))

    def _await(self, posts: list[_Post]) -> None:
        for post in posts:
            try:
                wait_for(post.spec.answers, START_SECONDS_MAX)
            except AssertionError as error:
                error.add_note(log_tail(post.spec.log_path))
                raise


def _numbered(spec: ChildSpec, number: int) -> ChildSpec:
    """One of two processes of a kind, with a name and a log of its own."""
    name = f"{spec.name}-{number}"
    argv = tuple(word.replace(WORKER_NODE, f"{name}@needlecap") for word in spec.argv)
    return replace(spec, name=name, argv=argv, log_path=spec.log_path.with_name(f"{name}.log"))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((ports.LOOPBACK, port)) == 0


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
