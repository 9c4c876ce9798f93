"""When the worker's second thread steps in, and when it ends the process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from services.counter_worker.pulse import Pulse
from services.counter_worker.standby import DEAF_SECONDS, EXIT_CODE, SILENT_SECONDS, STEP_SECONDS, Standby
from tests.waiting import wait_for

TASK_SECONDS_MAX = 50.0


@dataclass(slots=True)
class World:
    """A clock that stands still, a broker with so many tasks, and what the standby did."""

    now: float = 1_000.0
    waiting: int | None = 0
    looks: int = 0
    worked: int = 0
    left: list[int] = field(default_factory=list)

    def ask_broker(self) -> int | None:
        """How many tasks wait."""
        self.looks += 1
        return self.waiting

    def work(self) -> None:
        """Count a sweep."""
        self.worked += 1


@pytest.fixture
def world() -> World:
    """Nothing has happened yet."""
    return World()


@pytest.fixture
def pulse(world: World) -> Pulse:
    """The pulse of a worker that has just started."""
    return Pulse(lambda: world.now)


@pytest.fixture
def standby(world: World, pulse: Pulse) -> Standby:
    """A standby that is stepped by hand."""
    return Standby(
        pulse=pulse,
        work=world.work,
        waiting=world.ask_broker,
        task_seconds_max=TASK_SECONDS_MAX,
        leave=world.left.append,
        monotonic=lambda: world.now,
    )


def test_stays_aside_while_periodic_tasks_come(world: World, pulse: Pulse, standby: Standby) -> None:
    """As long as beat's tasks arrive there is nothing to do."""
    for _ in range(20):
        world.now += 1.0
        with pulse.task(periodic=True):
            pass
        standby.step()
    assert (world.worked, world.left) == (0, [])


def test_sweeps_when_no_periodic_task_comes_and_until_one_does(
    world: World, pulse: Pulse, standby: Standby
) -> None:
    """Silence brings a sweep at each step; the first task that comes ends that."""
    world.now += SILENT_SECONDS + 0.1
    for expected in (1, 2, 3):
        standby.step()
        assert world.worked == expected
    with pulse.task(periodic=True):
        pass
    standby.step()
    assert world.worked == 3


def test_wake_ups_alone_do_not_keep_it_aside(world: World, pulse: Pulse, standby: Standby) -> None:
    """A dead beat with a living broker is silence too: nobody else expires holds."""
    world.now += SILENT_SECONDS + 0.1
    with pulse.task(periodic=False):
        pass
    standby.step()
    assert world.worked == 1


def test_steps_in_early_enough_for_a_hold_to_expire_in_time() -> None:
    """Silence, a step and a sweep fit into the five seconds in which expiry must take effect."""
    assert SILENT_SECONDS + STEP_SECONDS <= 4.0


def test_ends_the_process_when_a_task_takes_too_long(world: World, pulse: Pulse, standby: Standby) -> None:
    """A task that can never end is ended with its process, and not before its time."""
    with pulse.task(periodic=True):
        world.now += TASK_SECONDS_MAX
        standby.step()
        assert world.left == []
        world.now += 1.0
        standby.step()
        assert world.left == [EXIT_CODE]


def test_ends_the_process_when_tasks_wait_and_none_comes(world: World, standby: Standby) -> None:
    """A consumer that went deaf after a reconnect is started anew."""
    world.waiting = 3
    world.now += DEAF_SECONDS - 0.1
    standby.step()
    assert world.left == []
    world.now += 0.2
    standby.step()
    assert world.left == [EXIT_CODE]


@pytest.mark.parametrize("waiting", [0, None])
def test_goes_on_when_nothing_waits_or_the_broker_is_away(
    world: World, standby: Standby, waiting: int | None
) -> None:
    """Silence without tasks is beat's fault or the broker's; another worker process would change nothing."""
    world.waiting = waiting
    for _ in range(100):
        world.now += 1.0
        standby.step()
    assert world.left == []
    assert world.worked > 90


def test_asks_the_broker_only_now_and_then(world: World, standby: Standby) -> None:
    """A broker that is away is not asked at every step."""
    world.now += DEAF_SECONDS
    for _ in range(120):
        world.now += 0.5
        standby.step()
    assert world.looks <= 12


def test_thread_works_by_itself_survives_a_bug_and_stops_when_told(world: World) -> None:
    """Started, it steps in without being asked, though a step fails; stopped, it is gone."""
    silent = Pulse(lambda: world.now)
    world.now += SILENT_SECONDS + 0.1

    def work() -> None:
        world.work()
        if world.worked == 1:
            raise LookupError("a bug")

    standby = Standby(
        pulse=silent,
        work=work,
        waiting=world.ask_broker,
        task_seconds_max=TASK_SECONDS_MAX,
        leave=world.left.append,
        monotonic=lambda: world.now,
    )
    standby.start()
    wait_for(lambda: world.worked >= 2, limit_seconds=10)
    standby.stop()
    assert not any(thread.name == "standby" for thread in threading.enumerate())
