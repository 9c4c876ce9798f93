"""`needlecap run`: everything on this machine, from nothing to the ready line and back to nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import redis

from services.operator_cli.catalog_loading import load
from services.operator_cli.clients import open_clients
from services.operator_cli.commands.clients import new_client_id
from services.operator_cli.errors import AlreadyRunningError, PortTakenError, ServerError
from services.operator_cli.installation import Endpoints, Installation, Ports, Secrets
from services.operator_cli.migrations import migrate
from services.operator_cli.runner import ports
from services.operator_cli.runner.credentials import ensure_credentials
from services.operator_cli.runner.first_start import FIRST_START_JOBS, FirstStartJob, run_once
from services.operator_cli.runner.leftovers import MARK, mark_of, stop_leftovers
from services.operator_cli.runner.postgres import EmbeddedPostgres
from services.operator_cli.runner.services import ServicePlan
from services.operator_cli.runner.supervisor import StopRequested, Supervisor
from services.operator_cli.runner.valkey import EmbeddedValkey
from services.operator_cli.runner.wakeups import SignalWakeups
from services.operator_cli.settings import Settings
from shared.adapters.environment import broker_url_beside
from shared.domain.client import ROLES

SERVER_SECONDS_MAX = 60.0
SERVICE_SECONDS_MAX = 90.0
CONNECT_SECONDS_MAX = 5
API_VARIABLES = ("NEEDLECAP_API_URL", *(f"NEEDLECAP_{role.upper()}_KEY" for role in ROLES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What the operator sees: the ready line on standard output, everything else beside it."""

    announce: Callable[[str], None]
    say: Callable[[str], None]


def run_local(settings: Settings, api_port: int, console: Console, *, empty: bool = False) -> None:
    """Serve until asked to stop.

    Raises OperatorError, having stopped what was started, if something does not come to answer.
    """
    installation = settings.installation
    if not installation.lock_path.exists():
        # A start that cannot be leaves no directory. Where there is one, another runner is the better news.
        _api_port(api_port)
    installation.make_directories()
    with _locked(installation), SignalWakeups().listening() as wakeups:
        supervisor = Supervisor(wakeups=wakeups, say=console.say, monotonic=time.monotonic)
        runner = _LocalRun(
            settings=settings,
            installation=installation,
            api_port=_api_port(api_port),
            own_secrets=installation.ensure_secrets(),
            console=console,
            supervisor=supervisor,
            first_start_jobs=() if empty else FIRST_START_JOBS,
        )
        try:
            runner.start()
            supervisor.run_until_stopped()
        except StopRequested:
            console.say("not everything was ready yet")
        finally:
            console.say("stopping ...")
            supervisor.stop_all()
            console.say("stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LocalRun:
    """One start, from the leftovers of the last to the ready line."""

    settings: Settings
    installation: Installation
    own_secrets: Secrets
    api_port: int
    console: Console
    supervisor: Supervisor
    first_start_jobs: tuple[FirstStartJob, ...]

    def start(self) -> None:
        """Start everything in order and announce it."""
        self.console.say(f"starting; data and logs are in {self.installation.data_dir}")
        mark = mark_of(self.own_secrets.installation_id, self.installation.data_dir)
        environment = {**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"}
        servers = (self.installation.postgres_dir / "data", self.installation.valkey_dir)
        for name in stop_leftovers(mark, servers):
            self.console.say(f"stopped {name}, left by an earlier run")
        endpoints = self._start_servers(environment)
        self._prepare_database(endpoints.database_url)
        self.supervisor.check_stop()
        self._start_services(endpoints, environment)
        self.installation.record_endpoints(endpoints)
        for job in self.first_start_jobs:
            run_once(job, self.installation, self.supervisor, _job_environment(environment), self.console.say)
        self.supervisor.check_stop()
        self.console.announce(f"needlecap ready: {endpoints.api_url}")

    def _start_servers(self, environment: Mapping[str, str]) -> Endpoints:
        """Start the embedded servers that are not replaced by given ones, and wait for them."""
        known = self.installation.ports()
        postgres_port = ports.choose(known.postgres if known else None, taken=[self.api_port])
        valkey_port = ports.choose(known.valkey if known else None, taken=[self.api_port, postgres_port])
        self.installation.record_ports(Ports(postgres=postgres_port, valkey=valkey_port))
        given = self.settings.environment
        started = []
        if given.redis_url is None:
            valkey = self._valkey(valkey_port, environment)
            valkey.prepare()
            self.console.say("starting Valkey ...")
            self.supervisor.start(valkey.spec())
            started.append("valkey")
        else:
            _require_redis(given.redis_url)
        if given.database_url is None:
            postgres = self._postgres(postgres_port, environment)
            self.console.say("starting PostgreSQL ...")
            postgres.prepare()
            # Leftovers are gone, and no other runner is here: nothing works on the cluster's files.
            postgres.clear_lock()
            self.supervisor.start(postgres.spec())
            started.append("postgres")
        else:
            _require_database(given.database_url)
        self.supervisor.await_answers(started, SERVER_SECONDS_MAX)
        if given.database_url is None:
            postgres.create_database()
        return Endpoints(
            api_url=f"http://{ports.LOOPBACK}:{self.api_port}",
            database_url=given.database_url or postgres.url(),
            redis_url=given.redis_url or valkey.url(),
        )

    def _prepare_database(self, database_url: str) -> None:
        """Newest schema, rule catalog, development clients."""
        for name in migrate(database_url, audit_days=self.settings.environment.audit_days):
            self.console.say(f"applied migration {name}")
        change = load(database_url, datetime.now(UTC))
        if change.created:
            self.console.say(f"loaded rule catalog {change.catalog_version}")
        with open_clients(database_url, self.settings.hash_key, new_client_id) as store:
            ensure_credentials(self.installation, store, secrets.token_bytes)

    def _start_services(self, endpoints: Endpoints, environment: Mapping[str, str]) -> None:
        broker_url = self.settings.environment.broker_url or broker_url_beside(endpoints.redis_url)
        plan = ServicePlan(
            api_port=self.api_port,
            broker_url=broker_url,
            environment={
                **environment,
                "DATABASE_URL": endpoints.database_url,
                "REDIS_URL": endpoints.redis_url,
                "BROKER_URL": broker_url,
                **self._hash_key_variable(),
                "NEEDLECAP_PUBLIC_URL": environment.get("NEEDLECAP_PUBLIC_URL") or endpoints.api_url,
            },
            logs_dir=self.installation.logs_dir,
            beat_dir=self.installation.beat_dir,
        )
        self.console.say("starting the API, the worker and beat ...")
        for spec in plan.specs():
            self.supervisor.start(spec)
        self.supervisor.await_answers([spec.name for spec in plan.specs()], SERVICE_SECONDS_MAX)

    def _hash_key_variable(self) -> dict[str, str]:
        """Name the hash key's file to the services, unless the environment gives them a key already."""
        if self.settings.environment.hash_key is not None:
            return {}
        return {"NEEDLECAP_HASH_KEY_FILE": str(self.installation.hash_key_path)}

    def _postgres(self, port: int, environment: Mapping[str, str]) -> EmbeddedPostgres:
        return EmbeddedPostgres(
            directory=self.installation.postgres_dir,
            port=port,
            password=self.own_secrets.database_password,
            environment=environment,
            log_path=self.installation.logs_dir / "postgres.log",
            settings={},
        )

    def _valkey(self, port: int, environment: Mapping[str, str]) -> EmbeddedValkey:
        return EmbeddedValkey(
            directory=self.installation.valkey_dir,
            port=port,
            password=self.own_secrets.valkey_password,
            environment=environment,
            log_path=self.installation.logs_dir / "valkey.log",
        )


def _job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a job sees: it works on the service just started, whatever other one the shell was set to."""
    return {name: value for name, value in environment.items() if name not in API_VARIABLES}


@contextlib.contextmanager
def _locked(installation: Installation) -> Iterator[None]:
    """Hold the data directory; it is let go however this process ends."""
    descriptor = os.open(installation.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(
                f"Another runner (pid {file.read().strip() or 'unknown'}) uses {installation.data_dir}. "
                "Stop it first, or name another: `make run DATA_DIR=...` or `needlecap run --data-dir ...`."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _api_port(asked: int) -> int:
    """The port to serve on; 0 asks for any free one."""
    if asked == 0:
        return ports.choose(None)
    if not ports.is_free(asked):
        raise PortTakenError(
            f"Port {asked} is taken: something else listens on it. "
            f"Name another: `make run PORT=...` or `needlecap run --port ...`."
        )
    return asked


def _require_database(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=CONNECT_SECONDS_MAX).close()
    except psycopg.Error as error:
        raise ServerError(f"The database that DATABASE_URL names cannot be reached: {error}") from error


def _require_redis(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=CONNECT_SECONDS_MAX) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise ServerError(f"The server that REDIS_URL names cannot be reached: {error}") from error


def stderr_say(text: str) -> None:
    """Tell the operator something, beside the one line that standard output is kept for."""
    sys.stderr.write(f"needlecap: {text}\n")
    sys.stderr.flush()
