"""Keeping children alive, with small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from services.operator_cli.errors import ChildFailedError
from services.operator_cli.runner.child import LOG_BYTES_MAX, ChildSpec, log_tail
from services.operator_cli.runner.supervisor import StopRequested, Supervisor
from tests.servers import PatientWakeups, new_supervisor
from tests.waiting import wait_for

SLEEP = "import signal; signal.pause()"
NOTE_END = """
import pathlib, signal, sys
def end(*_):
    with pathlib.Path(sys.argv[1]).open("a") as file:
        file.write(sys.argv[2] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1] + "." + sys.argv[2]).touch()
while True:
    signal.pause()
"""
IGNORE = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
while True:
    signal.pause()
"""
WITH_CHILD = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".part").write_text(str(child.pid))
path.with_suffix(".part").rename(path)
child.wait()
"""


class ImpatientWakeups(PatientWakeups):
    """As if an operator asked to stop: at the next look after `requests`, or after some looks."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0
        self.stop_after_looks: int | None = None

    def wait(self, seconds: float) -> int:
        """Pass on what was asked; the time itself is of no interest."""
        super().wait(min(seconds, 0.05))
        if self.stop_after_looks is not None:
            self.stop_after_looks -= 1
            return int(self.stop_after_looks <= 0)
        asked, self.requests = self.requests, 0
        return asked


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """A supervisor whose children are gone after the test."""
    made = new_supervisor()
    yield made
    made.stop_all()


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., ChildSpec]:
    """Makes the spec of a child that runs a piece of Python."""

    def make(code: str, *arguments: str, name: str = "child", **more: object) -> ChildSpec:
        return ChildSpec(
            name=name,
            argv=(sys.executable, "-c", code, *arguments),
            environment=dict(os.environ),
            log_path=tmp_path / f"{name}.log",
            **more,  # type: ignore[arg-type]  # the spec's own keywords
        )

    return make


def test_killed_child_is_started_again_and_that_is_said(spec: Callable[..., ChildSpec]) -> None:
    """A crash is noticed, told to the operator with the signal, and mended."""
    said: list[str] = []
    supervisor = Supervisor(wakeups=PatientWakeups(), say=said.append, monotonic=time.monotonic)
    supervisor.start(spec(SLEEP))
    first = supervisor.pid("child")
    assert first is not None
    os.kill(first, signal.SIGKILL)

    def replaced() -> bool:
        supervisor.check_stop(0.05)
        return supervisor.pid("child") not in (None, first)

    wait_for(replaced)
    supervisor.stop_all()
    assert len(said) == 1
    assert "child was ended by signal 9" in said[0]


def test_restarts_wait_longer_each_time(spec: Callable[..., ChildSpec]) -> None:
    """A child that cannot live does not keep the machine busy."""
    said: list[str] = []
    supervisor = Supervisor(wakeups=PatientWakeups(), say=said.append, monotonic=time.monotonic)
    supervisor.start(spec("raise SystemExit(3)"))

    def ended_three_times() -> bool:
        supervisor.check_stop(0.05)
        return len(said) >= 3

    wait_for(ended_three_times)
    supervisor.stop_all()
    assert [text.split(" in ")[1].split(" (")[0] for text in said[:3]] == ["0.25 s", "0.5 s", "1 s"]


def test_children_stop_in_reverse_order(
    supervisor: Supervisor, spec: Callable[..., ChildSpec], tmp_path: Path
) -> None:
    """What was started last, and so may need the others, stops first."""
    notes = tmp_path / "notes"
    for name in ("server", "service"):
        supervisor.start(spec(NOTE_END, str(notes), name, name=name))
    wait_for(lambda: all((tmp_path / f"notes.{name}").exists() for name in ("server", "service")))
    supervisor.stop_all()
    assert notes.read_text().split() == ["service", "server"]


def test_child_that_ignores_the_request_is_killed(
    supervisor: Supervisor, spec: Callable[..., ChildSpec], tmp_path: Path
) -> None:
    """Stopping ends, whatever a child does about it."""
    supervisor.start(spec(IGNORE, str(tmp_path / "up"), stop_seconds=1))
    wait_for((tmp_path / "up").exists)
    process = psutil.Process(supervisor.pid("child"))
    supervisor.stop_all()
    assert not process.is_running()


def test_asking_twice_stops_at_once(spec: Callable[..., ChildSpec], tmp_path: Path) -> None:
    """A second request does not wait for the patience that the first one has."""
    wakeups = ImpatientWakeups()
    supervisor = Supervisor(wakeups=wakeups, say=lambda _text: None, monotonic=time.monotonic)
    supervisor.start(spec(IGNORE, str(tmp_path / "up"), stop_seconds=3600))
    wait_for((tmp_path / "up").exists)
    process = psutil.Process(supervisor.pid("child"))
    wakeups.requests = 1
    with pytest.raises(StopRequested):
        supervisor.check_stop()
    wakeups.requests = 1
    supervisor.stop_all()
    assert not process.is_running()


def test_child_that_keeps_ending_fails_the_start_with_its_log(
    supervisor: Supervisor, spec: Callable[..., ChildSpec]
) -> None:
    """A service that cannot start says why, in the runner's own message."""
    supervisor.start(spec("raise SystemExit('the reason')", answers=lambda: False))
    with pytest.raises(ChildFailedError, match=r"(?s)child keeps ending.*the reason"):
        supervisor.await_answers(["child"], 60)


def test_child_that_never_answers_fails_the_start(
    supervisor: Supervisor, spec: Callable[..., ChildSpec]
) -> None:
    """Waiting for an answer has a limit."""
    supervisor.start(spec(SLEEP, answers=lambda: False))
    with pytest.raises(ChildFailedError, match="did not answer within 1 seconds"):
        supervisor.await_answers(["child"], 1)


def test_children_of_a_killed_child_do_not_outlive_it(
    supervisor: Supervisor, spec: Callable[..., ChildSpec], tmp_path: Path
) -> None:
    """A server's own processes are cleared away before its successor needs their port."""
    supervisor.start(spec(WITH_CHILD, str(tmp_path / "pid")))
    wait_for((tmp_path / "pid").exists)
    grandchild = psutil.Process(int((tmp_path / "pid").read_text()))
    child = supervisor.pid("child")
    assert child is not None
    (tmp_path / "pid").unlink()
    os.kill(child, signal.SIGKILL)

    def cleared() -> bool:
        supervisor.check_stop(0.05)
        return not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE

    wait_for(cleared)


def test_children_stay_in_the_session_but_not_in_the_group(
    supervisor: Supervisor, spec: Callable[..., ChildSpec]
) -> None:
    """The end of the session reaches them, a Ctrl-C in the terminal does not."""
    supervisor.start(spec(SLEEP))
    child = supervisor.pid("child")
    assert child is not None
    assert os.getsid(child) == os.getsid(0)
    assert os.getpgid(child) == child


def test_job_runs_to_its_end_and_its_code_is_known(
    supervisor: Supervisor, spec: Callable[..., ChildSpec]
) -> None:
    """A job beside the children is waited for, and is not started again."""
    assert supervisor.run_job(spec("raise SystemExit(7)"), 60) == 7
    assert supervisor.run_job(spec(SLEEP), 1) is None


def test_children_die_with_a_killed_runner(spec: Callable[..., ChildSpec], tmp_path: Path) -> None:
    """Even `kill -9` of the runner leaves no process behind."""
    code = (
        "import os, pathlib, sys, threading\n"
        "from services.operator_cli.runner.child import ChildSpec\n"
        "from tests.servers import new_supervisor\n"
        "supervisor = new_supervisor()\n"
        "supervisor.start(ChildSpec(name='child', argv=(sys.executable, '-c', sys.argv[1], sys.argv[2]),"
        " environment=dict(os.environ), log_path=pathlib.Path(sys.argv[3])))\n"
        "threading.Event().wait()\n"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", code, WITH_CHILD, str(tmp_path / "pid"), str(tmp_path / "log")],
        cwd=Path(__file__).parents[3],
    )
    wait_for((tmp_path / "pid").exists)
    child = psutil.Process(runner.pid).children()[0]
    runner.kill()
    runner.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_log_that_grew_large_is_set_aside(spec: Callable[..., ChildSpec], tmp_path: Path) -> None:
    """A child that writes for months does not fill the disk, and its last words are kept."""
    wakeups = ImpatientWakeups()
    supervisor = Supervisor(wakeups=wakeups, say=lambda _text: None, monotonic=time.monotonic)
    code = f"print('x' * {LOG_BYTES_MAX}, flush=True); print('last', flush=True); " + SLEEP
    supervisor.start(spec(code))
    log = tmp_path / "child.log"
    wait_for(lambda: log_tail(log).endswith("last"))
    wakeups.stop_after_looks = 2
    supervisor.run_until_stopped()
    supervisor.stop_all()
    assert log.stat().st_size < LOG_BYTES_MAX
    assert log_tail(tmp_path / "child.log.1").endswith("last")
