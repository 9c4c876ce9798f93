"""Requests answered together: none waits for company, none suffers for another, none is forgotten."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from services.coverage_api.gathering import Gathering
from shared.domain.errors import StoreUnavailable
from shared.ports import Sent
from tests.gathered import PATIENCE_SECONDS, Bench, Gates, Hurry, gathering, more_wait
from tests.waiting import wait_for


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


def ask_in_turn(
    pool: ThreadPoolExecutor, asked: Gathering[int, int], *numbers: int
) -> list[Future[Sequence[int]]]:
    """Have each number come when the one before it waits."""
    futures = []
    for number in numbers:
        before = len(asked._waiting)
        futures.append(pool.submit(asked.ask, [number]))
        wait_for(partial(more_wait, asked, before))
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
    hurry = Hurry()
    asked = gathering(bench, seconds_left=hurry.seconds_left)

    def hurried() -> Sequence[int]:
        hurry.hurries()
        return asked.ask([1])

    with ThreadPoolExecutor(3) as pool:
        bench.open.clear()
        first = pool.submit(asked.ask, [100])
        wait_for(lambda: bench.batches == [[100]])
        gone = pool.submit(hurried)
        assert hurry.has_come.wait(PATIENCE_SECONDS)
        [behind] = ask_in_turn(pool, asked, 2)
        hurry.is_over.set()
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
    hurry = Hurry()
    asked: Gathering[int, int] = Gathering(
        gates.answer_all, most=8, leaders_max=1, waking_max=1, seconds_left=hurry.seconds_left
    )

    def hurried() -> Sequence[int]:
        hurry.hurries()
        return asked.ask([3])

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(asked.ask, [1])
        wait_for(lambda: gates.batches == [[1]])
        [leader] = ask_in_turn(pool, asked, 2)
        gone = pool.submit(hurried)
        assert hurry.has_come.wait(PATIENCE_SECONDS)
        behind = ask_in_turn(pool, asked, 4, 5)
        gates.open(1)
        wait_for(lambda: gates.batches == [[1], [2, 3, 4, 5]])
        hurry.is_over.set()
        with pytest.raises(StoreUnavailable):
            gone.result(PATIENCE_SECONDS)
        gates.open(2)
        answered = [future.result(PATIENCE_SECONDS) for future in (first, leader, *behind)]
    assert answered == [[1], [2], [4], [5]]
