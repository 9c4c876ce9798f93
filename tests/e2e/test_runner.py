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


def test_first_start_second_start_and_ctrl_c(run: Callable[..., Running]) -> None:
    """The ready line, the keys, no second runner beside it, an orderly stop, and everything there again."""
    first = run().wait_ready()
    assert first.answers()
    credentials = first.data_dir / "dev-credentials.json"
    keys = json.loads(credentials.read_text())
    assert list(keys) == ["ehr", "portal", "ops", "admin"]
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert "celery" in first.child("worker").cmdline()  # type: ignore[union-attr]  # it runs, or this fails
    children = psutil.Process(first.process.pid).children()
    assert {os.getsid(child.pid) for child in children} == {first.process.pid}
    with psycopg.connect(first.database_url()) as connection:
        connection.execute("create table kept as select 7 as number")
    assert f"Another runner (pid {first.process.pid})" in _refused_runner(first)
    everyone = first.descendants()
    assert first.stop() == 0
    assert _alive(everyone) == []
    assert first.stdout.count("\n") == 1
    assert "needlecap: stopping ...\nneedlecap: stopped\n" in first.stderr

    second = run().wait_ready()
    assert json.loads(credentials.read_text()) == keys
    with psycopg.connect(second.database_url()) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)
    assert second.stop(signal.SIGTERM) == 0


def test_killed_child_comes_back_and_a_second_ctrl_c_leaves_nothing(run: Callable[..., Running]) -> None:
    """Each part that is killed is missed and started again; asked to stop twice, all of them end at once."""
    running = run().wait_ready()
    for name in CHILDREN:
        before = running.child(name)
        assert before is not None, name
        before.kill()

        def is_back(name: str = name, before: psutil.Process = before) -> bool:
            return running.child(name) not in (None, before)

        wait_for(is_back)
        wait_for(running.answers)
        assert f"{name} was ended by signal 9; starting it again" in running.stderr
    everyone = running.descendants()
    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGINT)
    running.process.wait(STOP_SECONDS_MAX)
    wait_for(lambda: _alive(everyone) == [])


def test_killed_runner_leaves_nothing_and_can_start_again(run: Callable[..., Running]) -> None:
    """After `kill -9` of the runner its children go; the next start ends a survivor and finds the data."""
    first = run().wait_ready()
    with psycopg.connect(first.database_url()) as connection:
        connection.execute("create table kept as select 7 as number")
    everyone = first.descendants()
    worker = first.child("worker")
    assert worker is not None
    with subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], env=worker.environ()
    ) as survivor:
        first.process.kill()
        first.process.wait()
        second = run().wait_ready()
        assert survivor.wait(STOP_SECONDS_MAX) == -signal.SIGTERM
    assert f"(pid {survivor.pid}), left by an earlier run" in second.stderr
    assert _alive(everyone) == []
    with psycopg.connect(second.database_url()) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)
    assert second.stop() == 0


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
    assert running.stop() == 0
