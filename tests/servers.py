"""Real PostgreSQL and Valkey servers for tests, started through the runner's own code."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from services.operator_cli.migrations import migrate
from services.operator_cli.runner import ports
from services.operator_cli.runner.child import ChildSpec
from services.operator_cli.runner.postgres import EmbeddedPostgres
from services.operator_cli.runner.supervisor import Supervisor
from services.operator_cli.runner.valkey import EmbeddedValkey

TEMPLATE = "needlecap_template"
ANSWER_SECONDS_MAX = 60.0
# A killed server loses nothing that the operating system has taken, so waiting for the disk buys a
# test nothing.
TEST_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class PatientWakeups:
    """Waits without listening to signals, which in a test belong to pytest."""

    def __init__(self) -> None:
        self._never = threading.Event()

    def wait(self, seconds: float) -> int:
        """Let time pass; nobody asks to stop."""
        self._never.wait(max(0.0, seconds))
        return 0


def new_supervisor() -> Supervisor:
    """A supervisor that tells nobody and hears no signal."""
    return Supervisor(wakeups=PatientWakeups(), say=lambda _text: None, monotonic=time.monotonic)


@dataclass(slots=True, kw_only=True)
class Server:
    """One server that a test may stop, kill and start again; its data and its URL stay."""

    spec: ChildSpec
    url: str
    _supervisor: Supervisor | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self._supervisor is None, "it runs already"
        self._supervisor = new_supervisor()
        self._supervisor.start(self.spec)
        self._supervisor.await_answers([self.spec.name], ANSWER_SECONDS_MAX)

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._supervisor is not None, "it does not run"
        found = self._supervisor.pid(self.spec.name)
        assert found is not None, "it ended by itself"
        return found

    def stop(self) -> None:
        """Stop it as an operator would; again is nothing."""
        if self._supervisor is not None:
            self._supervisor.stop_all()
            self._supervisor = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A cluster with a migrated template, from which each test's database is cloned."""

    server: Server
    embedded: EmbeddedPostgres

    @contextmanager
    def database(self, name: str, like: str = TEMPLATE) -> Iterator[str]:
        """The URL of a new database with the newest schema; dropped afterwards, whoever is connected.

        It has what there is in the database `like`, to which nobody may be connected.
        """
        target = sql.Identifier(name)
        # Files are copied in half the time that it takes to write each page to the log.
        create = sql.SQL("create database {} template {} strategy file_copy")
        with psycopg.connect(self.embedded.url("postgres"), autocommit=True) as admin:
            admin.execute(create.format(target, sql.Identifier(like)))
        try:
            yield self.embedded.url(name)
        finally:
            # A connection of its own: the test may have restarted the server.
            with psycopg.connect(self.embedded.url("postgres"), autocommit=True) as admin:
                admin.execute(sql.SQL("drop database {} with (force)").format(target))


def start_postgres(directory: Path, like: Path | None = None) -> Postgres:
    """A cluster in an empty directory, running, with its migrated template.

    It is a new one, or a copy of the stopped one in the directory `like`, which is there much sooner.
    """
    embedded = EmbeddedPostgres(
        directory=directory,
        port=ports.choose(None),
        password="test-only",
        environment=dict(os.environ),
        log_path=directory / "postgres.log",
        settings=TEST_SETTINGS,
    )
    if like is not None:
        # `cp` keeps the owner of the files, by which the server knows them as its own.
        subprocess.run(["cp", "-a", f"{like}/.", str(directory)], check=True)
    embedded.prepare()
    server = Server(spec=embedded.spec(), url=embedded.url(TEMPLATE))
    server.start()
    try:
        embedded.create_database(TEMPLATE)
        migrate(embedded.url(TEMPLATE))
    except BaseException:
        server.stop()
        raise
    return Postgres(server=server, embedded=embedded)


def start_valkey(directory: Path) -> Server:
    """A new server in an empty directory, running."""
    embedded = EmbeddedValkey(
        directory=directory,
        port=ports.choose(None),
        password="test-only",
        environment=dict(os.environ),
        log_path=directory / "valkey.log",
    )
    embedded.prepare()
    server = Server(spec=embedded.spec(), url=embedded.url())
    server.start()
    return server
