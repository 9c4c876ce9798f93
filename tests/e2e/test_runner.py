"""`needlecap run` from outside: one process that starts, mends and stops all the others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import psycopg
import pytest

from services.operator_cli.runner.ports import LOOPBACK, choose
from tests.running import CHILDREN, NEEDLECAP, STOP_SECONDS_MAX, Running, environment_without_servers
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)


def _alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    return [
        process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts runners; whatever a test leaves of them is ended after it."""
    started: list[Running] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> Running:
        started.append(Running(tmp_path / "data", *arguments, environment=environment))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            left = running.descendants()
            running.process.kill()
            running.process.wait()
            psutil.wait_procs(left, timeout=STOP_SECONDS_MAX)


def _refused_runner(first: Running) -> str:
    """What a second runner on the same data directory says."""
    refused = subprocess.run(
        [NEEDLECAP, "run", "--port", "0", "--data-dir", first.data_dir],
        env=environment_without_servers(),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert refused.returncode != 0
    return refused.stderr


def test_stopped_killed_and_started_again(run: Callable[..., Running]) -> None:
    """Stopped, or killed in part or as a whole, it leaves no process; each start has all that was there."""
    first = run().wait_ready()
    keys = _keys_of(first)
    _looks_as_it_should(first)
    with psycopg.connect(first.database_url()) as connection:
        connection.execute("create table kept as select 7 as number")
    assert f"Another runner (pid {first.process.pid})" in _refused_runner(first)
    everyone = first.descendants()
    assert first.stop() == 0
    assert _alive(everyone) == []
    assert first.stdout.count("\n") == 1
    assert "needlecap: stopping ...\nneedlecap: stopped\n" in first.stderr

    second = run().wait_ready()
    assert _keys_of(second) == keys
    _has_what_was_kept(second)
    for name in CHILDREN:
        _kill_and_await(second, name)
    everyone = second.descendants()
    with _survivor(second) as survivor:
        second.process.kill()
        second.process.wait()
        third = run().wait_ready()
        assert survivor.wait(STOP_SECONDS_MAX) == -signal.SIGTERM
    assert f"(pid {survivor.pid}), left by an earlier run" in third.stderr
    assert _alive(everyone) == []
    _has_what_was_kept(third)
    everyone = third.descendants()
    third.process.send_signal(signal.SIGINT)
    third.process.send_signal(signal.SIGINT)
    third.process.wait(STOP_SECONDS_MAX)
    wait_for(lambda: _alive(everyone) == [])


def _keys_of(running: Running) -> dict[str, str]:
    """The keys that it wrote for whoever may read them."""
    credentials = running.data_dir / "dev-credentials.json"
    assert credentials.stat().st_mode & 0o777 == 0o600
    keys: dict[str, str] = json.loads(credentials.read_text())
    assert list(keys) == ["ehr", "portal", "ops", "admin"]
    return keys


def _looks_as_it_should(running: Running) -> None:
    """It answers, its worker can be known, and its processes are in its session."""
    assert running.answers()
    assert "celery" in running.child("worker").cmdline()  # type: ignore[union-attr]  # it runs, or this fails
    children = psutil.Process(running.process.pid).children()
    assert {os.getsid(child.pid) for child in children} == {running.process.pid}


def _has_what_was_kept(running: Running) -> None:
    with psycopg.connect(running.database_url()) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)


def _kill_and_await(running: Running, name: str) -> None:
    """Kill a part: it is missed, and started again."""
    before = running.child(name)
    assert before is not None, name
    before.kill()
    wait_for(lambda: running.child(name) not in (None, before))
    wait_for(running.answers)
    assert f"{name} was ended by signal 9; starting it again" in running.stderr


def _survivor(running: Running) -> subprocess.Popen[bytes]:
    """A process that looks as one of the runner's, and ends only if somebody asks it to."""
    worker = running.child("worker")
    assert worker is not None
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=worker.environ())


def test_ctrl_c_during_the_start_stops_what_there_is(run: Callable[..., Running]) -> None:
    """Nobody has to wait for the ready line to change their mind."""
    running = run()
    wait_for(lambda: running.child("postgres") is not None)
    everyone = running.descendants()
    assert running.stop() == 0
    assert _alive(everyone) == []
    assert running.stdout == ""


def test_taken_port_is_said(run: Callable[..., Running]) -> None:
    """A port that something listens on is refused before anything starts."""
    with socket.create_server((LOOPBACK, choose(None))) as server:
        port = server.getsockname()[1]
        running = run("--port", str(port))
        assert running.process.wait(60) != 0
    assert f"Port {port} is taken" in running.stderr
    assert "make run PORT=" in running.stderr
    assert not running.data_dir.exists()
    assert running.stdout == ""


def test_given_servers_replace_the_embedded_ones(
    run: Callable[..., Running], database_url: str, redis_url: str
) -> None:
    """With DATABASE_URL and REDIS_URL set, only the services are started, and they work on those."""
    running = run(environment={"DATABASE_URL": database_url, "REDIS_URL": redis_url}).wait_ready()
    assert running.answers()
    assert running.child("postgres") is None
    assert running.child("valkey") is None
    with psycopg.connect(database_url) as connection:
        names = connection.execute("select name from client order by name").fetchall()
    assert names == [("dev-admin",), ("dev-ehr",), ("dev-ops",), ("dev-portal",)]
    assert running.stop(signal.SIGTERM) == 0
