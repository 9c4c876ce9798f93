"""Processes that an earlier runner left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from services.operator_cli.runner.leftovers import MARK, mark_of, stop_leftovers
from tests.servers import Postgres, Server
from tests.waiting import wait_for

SLEEP = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); signal.pause()"
IGNORE = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that carry a mark in their environment."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, mark: str) -> subprocess.Popen[bytes]:
        up = tmp_path / f"up-{len(started)}"
        argv = [sys.executable, "-c", code, str(up)]
        started.append(subprocess.Popen(argv, env=dict(os.environ) | {MARK: mark}))
        wait_for(up.exists)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_marked_processes_are_stopped_and_no_others(
    marked: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Only what was started for this very directory of this installation is ended."""
    ours = marked(SLEEP, mark_of("one", tmp_path))
    other_place = marked(SLEEP, mark_of("one", tmp_path / "copy"))
    other_installation = marked(SLEEP, mark_of("two", tmp_path))
    stopped = stop_leftovers(mark_of("one", tmp_path), [])
    assert len(stopped) == 1
    assert f"(pid {ours.pid})" in stopped[0]
    assert ours.wait() == -signal.SIGTERM
    assert other_place.poll() is None
    assert other_installation.poll() is None


def test_process_that_ignores_the_request_is_killed(
    marked: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """A leftover cannot hold up the start for ever."""
    stubborn = marked(IGNORE, mark_of("one", tmp_path))
    stop_leftovers(mark_of("one", tmp_path), [], patience_seconds=0.5)
    assert stubborn.wait() == -signal.SIGKILL


def test_database_server_is_found_by_its_directory(own_postgres: Postgres) -> None:
    """A database server still at work on the files is stopped, sessions and all, with nothing lost."""
    embedded = own_postgres.embedded
    with psycopg.connect(own_postgres.server.url) as connection:
        connection.execute("create table kept as select 7 as number")
    server = psutil.Process(own_postgres.server.pid)
    everyone = [server, *server.children()]
    stopped = stop_leftovers("no such mark", [embedded.data_path])
    assert f"postgres (pid {server.pid})" in stopped
    wait_for(lambda: all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in everyone))
    own_postgres.server.stop()
    own_postgres.server.start()
    with psycopg.connect(own_postgres.server.url) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)


def test_counters_server_is_found_by_its_directory(own_valkey: Server) -> None:
    """A Valkey still at work on the files is stopped, though its environment cannot be read."""
    server = psutil.Process(own_valkey.pid)
    assert stop_leftovers("no such mark", [Path(server.cwd())]) == [f"valkey-server (pid {server.pid})"]
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_lock_file_that_names_a_stranger_is_cleared(own_postgres: Postgres) -> None:
    """A dead server's process id that by now is someone else's does not keep the database down."""
    embedded = own_postgres.embedded
    os.kill(own_postgres.server.pid, signal.SIGKILL)
    own_postgres.server.stop()
    lock = embedded.data_path / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    embedded.clear_lock()
    own_postgres.server.start()
    assert embedded.answers()
