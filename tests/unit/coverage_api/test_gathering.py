"""Requests answered together: none waits for company, none suffers for another, none is forgotten."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from services.coverage_api import gathering as gathering_module
from services.coverage_api.gathering import COMPANY_MIN, Gathering
from shared.domain.errors import StoreUnavailable
from shared.ports import Sent
from tests.waiting import wait_for

PATIENCE_SECONDS = 20.0


class Bench:
    """Answers each number with its double, once it is let; it remembers what was put together."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self._running = 0
        self.running_max = 0
        self._lock = threading.Lock()

    def answer_all(self, numbers: Sequence[int], sent: Sent) -> list[int]:
        """Doubles, once others may set out. A negative number is a bug, zero a store that is away."""
        with self._lock:
            self.batches.append(list(numbers))
            self._running += 1
            self.running_max = max(self.running_max, self._running)
        sent()
        assert self.open.wait(PATIENCE_SECONDS)
        with self._lock:
            self._running -= 1
        if 0 in numbers:
            raise StoreUnavailable
        if min(numbers) < 0:
            raise ValueError(min(numbers))
        return [2 * number for number in numbers]


def gathering(bench: Bench, **changes: Any) -> Gathering[int, int]:
    """One leader at a time and at most four questions together, unless said otherwise."""
    options: dict[str, Any] = {"most": 4, "leaders_max": 1, "seconds_left": lambda: PATIENCE_SECONDS}
    return Gathering(bench.answer_all, **{**options, **changes})


def ask_while_busy(
    pool: ThreadPoolExecutor, bench: Bench, asked: Gathering[int, int], *questions: list[int]
) -> list[Future[Sequence[int]]]:
    """Have `questions` come, in this order, while the answer to 100 is being found; then let it all go on."""
    bench.open.clear()
    first = pool.submit(asked.ask, [100])
    wait_for(lambda: bench.batches == [[100]])
    futures = [first]
    for question in questions:
        futures.append(pool.submit(asked.ask, question))
        wait_for(lambda: len(asked._waiting) == len(futures) - 1)
    bench.open.set()
    return futures


@pytest.fixture
def bench() -> Bench:
    """A fresh bench."""
    return Bench()


def test_lone_caller_is_answered_at_once(bench: Bench) -> None:
    """Nobody waits for company."""
    assert gathering(bench).ask([1, 2]) == [2, 4]
    assert bench.batches == [[1, 2]]


def test_no_question_needs_no_answer(bench: Bench) -> None:
    """An empty batch reaches nobody."""
    assert gathering(bench).ask([]) == []
    assert bench.batches == []


def test_those_who_come_during_a_commit_share_the_next(bench: Bench) -> None:
    """Each gets the answers to its own questions, in its own order."""
    with ThreadPoolExecutor(4) as pool:
        futures = ask_while_busy(pool, bench, gathering(bench), [1], [3, 2], [4])
        assert [future.result(PATIENCE_SECONDS) for future in futures] == [[200], [2], [6, 4], [8]]
    assert bench.batches == [[100], [1, 3, 2, 4]]


def test_no_more_than_the_bound_is_put_together(bench: Bench) -> None:
    """What does not fit waits for its turn; what is larger alone stays whole."""
    with ThreadPoolExecutor(5) as pool:
        futures = ask_while_busy(pool, bench, gathering(bench), [1, 2], [3, 4], [5, 6, 7, 8, 9], [10])
        for future in futures:
            future.result(PATIENCE_SECONDS)
    assert bench.batches == [[100], [1, 2, 3, 4], [5, 6, 7, 8, 9], [10]]


def test_failing_question_fails_its_own_caller_alone(bench: Bench) -> None:
    """After a failed batch each caller is answered alone."""
    with ThreadPoolExecutor(4) as pool:
        before, good, bad, other = ask_while_busy(pool, bench, gathering(bench), [1], [-1], [2])
        assert [future.result(PATIENCE_SECONDS) for future in (before, good, other)] == [[200], [2], [4]]
        with pytest.raises(ValueError, match="-1"):
            bad.result(PATIENCE_SECONDS)
    assert bench.batches == [[100], [1, -1, 2], [1], [-1], [2]]


def test_store_that_is_away_is_away_for_all_of_a_batch(bench: Bench) -> None:
    """Nobody is asked for a second time, since that would only take longer (I13)."""
    with ThreadPoolExecutor(3) as pool:
        futures = ask_while_busy(pool, bench, gathering(bench), [1], [0])[1:]
        for future in futures:
            with pytest.raises(StoreUnavailable):
                future.result(PATIENCE_SECONDS)
    assert bench.batches == [[100], [1, 0]]


def test_caller_whose_time_is_over_is_told_and_nobody_else(bench: Bench) -> None:
    """It leaves the queue; those behind it are answered."""
    patience = threading.local()
    asked = gathering(bench, seconds_left=lambda: getattr(patience, "seconds", PATIENCE_SECONDS))

    def hurried() -> Sequence[int]:
        patience.seconds = 0.05
        return asked.ask([1])

    with ThreadPoolExecutor(3) as pool:
        bench.open.clear()
        first = pool.submit(asked.ask, [100])
        wait_for(lambda: bench.batches == [[100]])
        gone = pool.submit(hurried)
        wait_for(lambda: asked._waiting)
        behind = pool.submit(asked.ask, [2])
        with pytest.raises(StoreUnavailable):
            gone.result(PATIENCE_SECONDS)
        bench.open.set()
        assert first.result(PATIENCE_SECONDS) == [200]
        assert behind.result(PATIENCE_SECONDS) == [4]
    assert bench.batches == [[100], [2]]
    assert asked.ask([3]) == [6]


def test_leader_that_is_ended_leaves_nobody_waiting(bench: Bench) -> None:
    """Those it took along hear that nothing is known, and the next caller leads."""
    rounds: list[Sequence[int]] = []

    def answer_all(numbers: Sequence[int], sent: Sent) -> list[int]:
        rounds.append(numbers)
        if len(rounds) == 2:
            raise SystemExit
        return bench.answer_all(numbers, sent)

    asked: Gathering[int, int] = Gathering(
        answer_all, most=4, leaders_max=1, seconds_left=lambda: PATIENCE_SECONDS
    )
    with ThreadPoolExecutor(3) as pool:
        _, leader, follower = ask_while_busy(pool, bench, asked, [1], [2])
        with pytest.raises(SystemExit):
            leader.result(PATIENCE_SECONDS)
        with pytest.raises(StoreUnavailable):
            follower.result(PATIENCE_SECONDS)
    assert asked.ask([3]) == [6]


def test_many_callers_at_once_each_get_their_own(bench: Bench) -> None:
    """Whatever is put together with whatever; and never do more lead than may."""
    asked = gathering(bench, most=8, leaders_max=2)

    def call(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(50):
            questions = [draw.randint(1, 1000) for _ in range(draw.randint(1, 5))]
            if draw.random() < 0.1:
                with pytest.raises(ValueError, match="-7"):
                    asked.ask([*questions, -7])
            else:
                assert asked.ask(questions) == [2 * question for question in questions]

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(call, seed) for seed in range(16)]:
            future.result(60)
    assert bench.running_max <= 2
    assert not asked._leaders
    assert not asked._waiting


class Gates:
    """Answers each number with itself. A batch is named by its first number; its gate lets it through.

    One that may `send` before says that its commit is sent; one whose gate is opened first does not.
    """

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._gates: defaultdict[int, threading.Event] = defaultdict(threading.Event)
        self._sendings: defaultdict[int, threading.Event] = defaultdict(threading.Event)

    def answer_all(self, numbers: Sequence[int], sent: Sent) -> Sequence[int]:
        """The numbers, later."""
        first = numbers[0]
        self.batches.append(list(numbers))
        assert self._sendings[first].wait(PATIENCE_SECONDS)
        if not self._gates[first].is_set():
            sent()
        assert self._gates[first].wait(PATIENCE_SECONDS)
        return numbers

    def send(self, first: int) -> None:
        """Let a batch send its commit."""
        self._sendings[first].set()

    def open(self, first: int) -> None:
        """Let a batch through."""
        self._gates[first].set()
        self._sendings[first].set()


def _more_wait(asked: Gathering[int, int], than: int) -> bool:
    return len(asked._waiting) > than


def ask_in_turn(
    pool: ThreadPoolExecutor, asked: Gathering[int, int], *numbers: int
) -> list[Future[Sequence[int]]]:
    """Have each number come when the one before it waits."""
    futures = []
    for number in numbers:
        before = len(asked._waiting)
        futures.append(pool.submit(asked.ask, [number]))
        wait_for(partial(_more_wait, asked, before))
    return futures


def waiting_behind(gates: Gates, **changes: Any) -> Gathering[int, int]:
    """Two lead at most, and nobody loses patience, unless said otherwise."""
    options: dict[str, Any] = {"leaders_max": 2, "haste_after_seconds": PATIENCE_SECONDS, **changes}
    return Gathering(gates.answer_all, most=8, seconds_left=lambda: PATIENCE_SECONDS, **options)


def test_next_sets_out_when_the_commit_before_is_sent() -> None:
    """Who came while the first decided shares the next, which decides while the disk writes."""
    gates = Gates()
    asked = waiting_behind(gates)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(asked.ask, [1])]
        wait_for(lambda: gates.batches == [[1]])
        futures += ask_in_turn(pool, asked, 2, 3)
        gates.send(1)
        wait_for(lambda: gates.batches == [[1], [2, 3]])
        assert not futures[0].done()
        for first in (1, 2):
            gates.open(first)
        assert [future.result(PATIENCE_SECONDS) for future in futures] == [[1], [2], [3]]


def test_caller_sets_out_at_once_while_only_commits_are_waited_for() -> None:
    """It need not wait for any of those before it to be answered."""
    gates = Gates()
    asked = waiting_behind(gates)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked.ask, [1])
        gates.send(1)
        wait_for(lambda: all(leader.is_committing for leader in asked._leaders) and gates.batches == [[1]])
        second = pool.submit(asked.ask, [2])
        wait_for(lambda: gates.batches == [[1], [2]])
        gates.open(2)
        assert second.result(PATIENCE_SECONDS) == [2]
        gates.open(1)
        assert first.result(PATIENCE_SECONDS) == [1]


def test_no_more_commits_are_waited_for_than_the_bound() -> None:
    """The next waits for one of them; then it takes along whoever came."""
    gates = Gates()
    asked = waiting_behind(gates)
    with ThreadPoolExecutor(4) as pool:
        futures = []
        for number in (1, 2):
            futures.append(pool.submit(asked.ask, [number]))
            wait_for(lambda: len(gates.batches) == len(futures))
            gates.send(number)
            wait_for(lambda: all(leader.is_committing for leader in asked._leaders))
        futures += ask_in_turn(pool, asked, 3, 4)
        assert gates.batches == [[1], [2]]
        gates.open(2)
        wait_for(lambda: gates.batches == [[1], [2], [3, 4]])
        for first in (1, 3):
            gates.open(first)
        assert [future.result(PATIENCE_SECONDS) for future in futures] == [[1], [2], [3], [4]]


def test_nobody_waits_long_for_one_that_decides() -> None:
    """While the first leader is held up before its commit, the next sets out after a moment."""
    gates = Gates()
    asked = waiting_behind(gates, haste_after_seconds=0.05)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asked.ask, [1])
        wait_for(lambda: gates.batches == [[1]])
        second = pool.submit(asked.ask, [2])
        wait_for(lambda: gates.batches == [[1], [2]])
        for number in (2, 1):
            gates.open(number)
        assert [first.result(PATIENCE_SECONDS), second.result(PATIENCE_SECONDS)] == [[1], [2]]


def test_who_left_keeps_nobody_from_being_woken() -> None:
    """Answered callers wake each other; one whose time was over meanwhile is passed over."""
    gates = Gates()
    patience = threading.local()
    asked: Gathering[int, int] = Gathering(
        gates.answer_all,
        most=8,
        leaders_max=1,
        waking_max=1,
        seconds_left=lambda: getattr(patience, "seconds", PATIENCE_SECONDS),
    )

    def hurried() -> Sequence[int]:
        patience.seconds = 0.5
        return asked.ask([3])

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(asked.ask, [1])
        wait_for(lambda: gates.batches == [[1]])
        [leader] = ask_in_turn(pool, asked, 2)
        gone = pool.submit(hurried)
        wait_for(partial(_more_wait, asked, 1))
        behind = ask_in_turn(pool, asked, 4, 5)
        gates.open(1)
        with pytest.raises(StoreUnavailable):
            gone.result(PATIENCE_SECONDS)
        assert gates.batches == [[1], [2, 3, 4, 5]]
        gates.open(2)
        answered = [future.result(PATIENCE_SECONDS) for future in (first, leader, *behind)]
    assert answered == [[1], [2], [4], [5]]


class SlowBench(Bench):
    """Takes a moment to decide, and another to commit."""

    def answer_all(self, numbers: Sequence[int], sent: Sent) -> list[int]:
        """See Bench."""

        def slowly() -> None:
            sent()
            time.sleep(0.001)

        time.sleep(0.001)
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
        wait_for(partial(_more_wait, asked, before))
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
    asked = gathering(bench, seconds_left=lambda: 0.1)
    bench.open.clear()
    with ThreadPoolExecutor(4) as pool:
        pool.submit(asked.ask, [100])
        wait_for(lambda: bench.batches == [[100]])
        told = Told()
        stayed = pool.submit(asked.ask_later, 1, told)
        wait_for(lambda: asked._waiting)
        asked.ask_later(2, told)
        stayed.result(PATIENCE_SECONDS)
        assert [type(fault) for fault in told.heard] == [StoreUnavailable] * 2
        bench.open.set()
    assert bench.batches == [[100]]
    asked.ask_later(3, told)
    assert told.heard[2:] == [6]


def test_leader_that_is_ended_tells_those_who_asked_later() -> None:
    """Nothing is known of what it did for them."""

    def answer_all(_numbers: Sequence[int], _sent: Sent) -> list[int]:
        raise SystemExit

    asked: Gathering[int, int] = Gathering(answer_all, most=4, seconds_left=lambda: PATIENCE_SECONDS)
    told = Told()
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
def test_callers_of_both_kinds_each_get_their_own(
    monkeypatch: pytest.MonkeyPatch, most: int, company: int
) -> None:
    """Each once, whoever leads, whoever fails and whoever loses patience; and nothing is left behind."""
    monkeypatch.setattr(gathering_module, "COMPANY_MIN", company)
    bench = SlowBench()
    patience = threading.local()
    asked = gathering(
        bench,
        most=most,
        leaders_max=3,
        haste_after_seconds=0.001,
        seconds_left=lambda: getattr(patience, "seconds", PATIENCE_SECONDS),
    )
    heard: dict[int, list[int | Exception]] = defaultdict(list)

    def call(seed: int) -> None:
        draw = random.Random(seed)
        for turn in range(150):
            number = 1 + seed * 1000 + turn
            question = -number if draw.random() < 0.1 else number
            patience.seconds = 0.001 if draw.random() < 0.1 else PATIENCE_SECONDS
            if draw.random() < 0.7:
                asked.ask_later(question, heard[number].append)
                continue
            try:
                heard[number].append(asked.ask([question])[0])
            except (ValueError, StoreUnavailable) as error:
                heard[number].append(error)

    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(call, seed) for seed in range(16)]:
            future.result(60)
    wait_for(lambda: not asked._leaders)
    assert len(heard) == 16 * 150
    for number, (answer,) in heard.items():
        assert isinstance(answer, ValueError | StoreUnavailable) or answer == 2 * number
    assert sum(isinstance(answer, int) for (answer,) in heard.values()) > 1000
    assert not asked._waiting
    assert not asked._ready


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
