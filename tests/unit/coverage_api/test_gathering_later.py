"""Answers asked for later: told once, by whoever led, whoever else failed, left or was ended."""

from __future__ import annotations

import itertools
import random
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from services.coverage_api.gathering import COMPANY_MIN, Gathering
from services.coverage_api.logs import CALL_FAILED
from shared.domain.errors import StoreUnavailable
from shared.ports import Sent
from tests.gathered import PATIENCE_SECONDS, Bench, Gates, Hurry, gathering, more_wait
from tests.waiting import wait_for

CALLERS = 16
#: How often each of them asks.
TURNS = 500


class Crowd:
    """Callers, of whom one or another is within an ask."""

    def __init__(self, size: int) -> None:
        self._outside = size
        self._came = 0
        self._changed = threading.Condition()

    @contextmanager
    def within(self) -> Iterator[None]:
        """A caller comes, and is back outside at the end."""
        self._leave(came=1)
        yield
        with self._changed:
            self._outside += 1

    def go(self) -> None:
        """A caller will not come again."""
        self._leave(came=0)

    def _leave(self, *, came: int) -> None:
        with self._changed:
            self._outside -= 1
            self._came += came
            self._changed.notify_all()

    def await_another(self) -> None:
        """Return when one more has come, or none is left outside that could."""
        with self._changed:
            came = self._came
            assert self._changed.wait_for(lambda: self._came > came or not self._outside, PATIENCE_SECONDS)


class SlowBench(Bench):
    """Has another caller come while it decides, and while it commits."""

    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self._crowd = crowd

    def answer_all(self, numbers: Sequence[int], sent: Sent) -> list[int]:
        """See Bench."""

        def slowly() -> None:
            sent()
            self._crowd.await_another()

        self._crowd.await_another()
        return super().answer_all(numbers, slowly)


class Told:
    """Hears answers that were asked for later, and in which thread."""

    def __init__(self) -> None:
        self.heard: list[int | Exception] = []
        self.threads: list[int] = []

    def __call__(self, answer: int | Exception) -> None:
        """Hear one."""
        self.heard.append(answer)
        self.threads.append(threading.get_ident())


@pytest.fixture(autouse=True)
def _everything_is_logged() -> None:
    """Whatever level another test has set, here every line is seen."""
    structlog.reset_defaults()


@pytest.fixture
def bench() -> Bench:
    """A fresh bench."""
    return Bench()


def ask_later_while_busy(
    pool: ThreadPoolExecutor, bench: Bench, asked: Gathering[int, int], *numbers: int
) -> tuple[list[Future[None]], Told]:
    """Have each number asked later, in this order, while the answer to 100 is being found."""
    bench.open.clear()
    told = Told()
    pool.submit(asked.ask, [100])
    wait_for(lambda: bench.batches == [[100]])
    futures = []
    for number in numbers:
        before = len(asked._waiting)
        futures.append(pool.submit(asked.ask_later, number, told))
        wait_for(partial(more_wait, asked, before))
    return futures, told


def test_who_asks_later_is_told_by_who_led(bench: Bench) -> None:
    """The first stays to lead; the threads of the others are free before there is any answer."""
    asked = gathering(bench)
    with ThreadPoolExecutor(4) as pool:
        (leader, *others), told = ask_later_while_busy(pool, bench, asked, 1, 2, 3)
        for other in others:
            other.result(PATIENCE_SECONDS)
        assert not leader.done()
        assert told.heard == []
        bench.open.set()
        leader.result(PATIENCE_SECONDS)
    assert bench.batches == [[100], [1, 2, 3]]
    assert told.heard == [2, 4, 6]
    assert len(set(told.threads)) == 1


def test_lone_caller_who_asks_later_is_told_at_once(bench: Bench) -> None:
    """In its own thread, before it returns."""
    told = Told()
    gathering(bench).ask_later(1, told)
    assert told.heard == [2]
    assert told.threads == [threading.get_ident()]


def test_failing_question_asked_later_fails_alone(bench: Bench) -> None:
    """Its caller is told what was raised, the others their answers."""
    with ThreadPoolExecutor(4) as pool:
        _, told = ask_later_while_busy(pool, bench, gathering(bench), 1, -1, 2)
        bench.open.set()
    first, fault, last = told.heard
    assert (first, last) == (2, 4)
    assert isinstance(fault, ValueError)
    assert bench.batches == [[100], [1, -1, 2], [1], [-1], [2]]


def test_store_that_is_away_is_told_to_all_who_asked_later(bench: Bench) -> None:
    """Each once."""
    with ThreadPoolExecutor(4) as pool:
        _, told = ask_later_while_busy(pool, bench, gathering(bench), 1, 0, 2)
        bench.open.set()
    assert [type(fault) for fault in told.heard] == [StoreUnavailable] * 3


def test_those_for_whom_there_was_no_room_are_led_by_who_led_before(bench: Bench) -> None:
    """Their own threads are gone, and nobody else has come."""
    with ThreadPoolExecutor(7) as pool:
        _, told = ask_later_while_busy(pool, bench, gathering(bench, most=2), 1, 2, 3, 4, 5)
        bench.open.set()
    assert bench.batches == [[100], [1, 2], [3, 4], [5]]
    assert told.heard == [2, 4, 6, 8, 10]


def test_while_none_could_set_out_in_time_all_behind_are_told(bench: Bench) -> None:
    """The one that stayed to lead waited all of its time; those behind it have nobody else."""
    hurry, told = Hurry(), Told()
    asked = gathering(bench, seconds_left=hurry.seconds_left)

    def hurried() -> None:
        hurry.hurries()
        asked.ask_later(1, told)

    bench.open.clear()
    with ThreadPoolExecutor(4) as pool:
        pool.submit(asked.ask, [100])
        wait_for(lambda: bench.batches == [[100]])
        stayed = pool.submit(hurried)
        assert hurry.has_come.wait(PATIENCE_SECONDS)
        asked.ask_later(2, told)
        hurry.is_over.set()
        stayed.result(PATIENCE_SECONDS)
        assert [type(fault) for fault in told.heard] == [StoreUnavailable] * 2
        bench.open.set()
    assert bench.batches == [[100]]
    asked.ask_later(3, told)
    assert told.heard[2:] == [6]


class Deaf(Told):
    """Hears, and fails."""

    def __call__(self, answer: int | Exception) -> None:
        """See Told."""
        super().__call__(answer)
        raise KeyError(answer)


def test_fault_of_one_that_is_told_reaches_nobody_else(bench: Bench) -> None:
    """Neither those behind it nor the thread that led; each is in the log."""
    deaf, told, asked = Deaf(), Told(), gathering(bench)
    with capture_logs() as lines, ThreadPoolExecutor(5) as pool:
        _, others = ask_later_while_busy(pool, bench, asked, 1)
        for number, hears in enumerate([deaf, told, deaf, told], 2):
            asked.ask_later(number, hears)
        bench.open.set()
    assert others.heard == [2]
    assert deaf.heard == [4, 8]
    assert told.heard == [6, 10]
    assert [(line["event"], line["kind"]) for line in lines] == [(CALL_FAILED, "KeyError")] * 2
    assert asked.ask([3]) == [6]


@pytest.mark.parametrize("told", [Told(), Deaf()], ids=["heard", "not taken"])
def test_leader_that_is_ended_tells_those_who_asked_later(told: Told) -> None:
    """Nothing is known of what it did for them; what ended it is what is raised."""

    def answer_all(_numbers: Sequence[int], _sent: Sent) -> list[int]:
        raise SystemExit

    asked: Gathering[int, int] = Gathering(answer_all, most=4, seconds_left=lambda: PATIENCE_SECONDS)
    with pytest.raises(SystemExit):
        asked.ask_later(1, told)
    assert [type(fault) for fault in told.heard] == [StoreUnavailable]


def test_many_that_wait_need_not_wait_for_one_that_decides() -> None:
    """A second group decides beside the first once a dozen wait; a third does not."""
    gates = Gates()
    asked: Gathering[int, int] = Gathering(
        gates.answer_all,
        most=100,
        seconds_left=lambda: PATIENCE_SECONDS,
        haste_after_seconds=PATIENCE_SECONDS,
    )
    told = Told()
    groups = [[1], list(range(2, COMPANY_MIN + 2)), list(range(100, COMPANY_MIN + 100))]
    with ThreadPoolExecutor(3) as pool:
        pool.submit(asked.ask_later, 1, told)
        wait_for(lambda: gates.batches == groups[:1])
        pool.submit(asked.ask_later, 2, told)
        wait_for(lambda: asked._waiting)
        for number in groups[1][1:]:
            assert gates.batches == groups[:1]
            asked.ask_later(number, told)
        wait_for(lambda: gates.batches == groups[:2])
        pool.submit(asked.ask_later, 100, told)
        wait_for(lambda: asked._waiting)
        for number in groups[2][1:]:
            asked.ask_later(number, told)
        assert gates.batches == groups[:2]
        gates.send(1)
        wait_for(lambda: gates.batches == groups)
        for first in (1, 2, 100):
            gates.open(first)
    assert {answer for answer in told.heard if isinstance(answer, int)} == set(itertools.chain(*groups))
    assert len(told.heard) == 1 + 2 * COMPANY_MIN


@pytest.mark.parametrize(("most", "company"), [(3, COMPANY_MIN), (100, 2)])
def test_callers_of_both_kinds_each_get_their_own(most: int, company: int) -> None:
    """Each once, whoever leads, whoever fails and whoever loses patience; and nothing is left behind."""
    crowd = Crowd(CALLERS)
    patience = threading.local()
    asked = gathering(
        SlowBench(crowd),
        most=most,
        leaders_max=3,
        company_min=company,
        haste_after_seconds=0.001,
        seconds_left=lambda: patience.seconds,
    )
    heard: dict[int, list[int | Exception]] = defaultdict(list)
    sure: set[int] = set()

    def call(seed: int) -> None:
        draw = random.Random(seed)
        for turn in range(TURNS):
            number = 1 + seed * 1000 + turn
            question = -number if draw.random() < 0.1 else number
            patience.seconds = draw.choice([0.0, 0.001]) if draw.random() < 0.1 else PATIENCE_SECONDS
            with crowd.within():
                if draw.random() < 0.7:
                    # Left without an answer where whoever would have led it has lost patience.
                    asked.ask_later(question, heard[number].append)
                    continue
                if question > 0 and patience.seconds == PATIENCE_SECONDS:
                    sure.add(number)
                try:
                    heard[number].append(asked.ask([question])[0])
                except (ValueError, StoreUnavailable) as error:
                    heard[number].append(error)
        crowd.go()

    with ThreadPoolExecutor(CALLERS) as pool:
        for future in [pool.submit(call, seed) for seed in range(CALLERS)]:
            future.result(60)
    assert len(heard) == CALLERS * TURNS
    for number, (answer,) in heard.items():
        is_fault = isinstance(answer, ValueError | StoreUnavailable)
        assert answer == 2 * number or (is_fault and number not in sure)
    assert not any([asked._waiting, asked._ready, asked._leaders])


def test_leader_whom_another_took_along_is_not_called_again() -> None:
    """Two are called before either begins; the first takes along the second, who goes once it is answered."""
    may_begin = {4: threading.Event(), 5: threading.Event()}
    first_serves, first_may_end = threading.Event(), threading.Event()
    zero_may_end = threading.Event()

    class Slow(Gathering[int, int]):
        def _lead(self, leader: Any) -> None:
            [number] = leader.questions
            if number in may_begin:
                assert may_begin[number].wait(PATIENCE_SECONDS)
            super()._lead(leader)

    def answer_all(numbers: Sequence[int], _sent: Sent) -> list[int]:
        if 3 in numbers:
            assert zero_may_end.wait(PATIENCE_SECONDS)
        if 4 in numbers:
            first_serves.set()
            assert first_may_end.wait(PATIENCE_SECONDS)
        return [2 * number for number in numbers]

    asked = Slow(
        answer_all, most=100, seconds_left=lambda: PATIENCE_SECONDS, haste_after_seconds=PATIENCE_SECONDS
    )
    told: list[Any] = []
    with ThreadPoolExecutor(3) as pool:
        futures = []
        for count, number in enumerate([3, 4, 5]):
            futures.append(pool.submit(asked.ask, [number]))
            wait_for(lambda count=count: len(asked._waiting) + len(asked._leaders) > count)  # type: ignore[misc]
        for number in range(COMPANY_MIN - 2):
            asked.ask_later(number, told.append)
        wait_for(lambda: len(asked._leaders) == 2)
        zero_may_end.set()
        wait_for(futures[0].done)
        assert [leader.questions for leader in asked._leaders] == [[4], [5]]
        may_begin[4].set()
        assert first_serves.wait(PATIENCE_SECONDS)
        may_begin[5].set()
        wait_for(lambda: len(asked._leaders) == 1)
        first_may_end.set()
        assert [future.result(PATIENCE_SECONDS) for future in futures] == [[6], [8], [10]]
    assert not any([asked._waiting, asked._ready, asked._leaders])
    assert len(told) == COMPANY_MIN - 2
