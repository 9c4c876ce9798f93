"""Parts of a stream follow each other, though one is made durable while the next is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from services.coverage_api.stream_turns import Turn
from shared.domain.errors import StoreUnavailable
from tests.waiting import wait_for

SECONDS_MAX = 10


class Part:
    """A part of a stream, stored step by step as the test allows it."""

    def __init__(self, visits: list[str], before: Part | None, told: list[str], name: str) -> None:
        self.turn: Turn = Turn(visits, before.turn if before is not None else None)
        self.name = name
        self.may_write, self.may_commit = threading.Event(), threading.Event()
        self.is_connected = threading.Event()
        self._told = told

    def store(self) -> None:
        """Write and commit when it is its turn."""
        with self.turn:
            assert self.may_write.wait(SECONDS_MAX)
            self.turn.await_connection()
            self._told.append(f"{self.name} connected")
            self.is_connected.set()
            self.turn.begin_writing(lambda: self._told.append(f"{self.name} written"))
            self.turn.rows_are_written()
            assert self.may_commit.wait(SECONDS_MAX)
            self.turn.await_commit_before()
            self._told.append(f"{self.name} durable")

    def fail(self) -> None:
        """Fail before anything is written."""
        with self.turn:
            assert self.may_write.wait(SECONDS_MAX)
            raise StoreUnavailable


def of_rows(told: list[str]) -> list[str]:
    """What was told of rows, not of connections."""
    return [line for line in told if "connected" not in line]


Start = Callable[[Callable[[], None]], Future[None]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs something in a thread of its own."""
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def parts(told: list[str], *visits: list[str]) -> list[Part]:
    """Parts with events of these visits, one behind the other."""
    made: list[Part] = []
    for number, of_part in enumerate(visits, start=1):
        made.append(Part(of_part, made[-1] if made else None, told, str(number)))
    return made


def test_a_part_is_written_while_the_one_before_is_made_durable(start: Start) -> None:
    """The second waits for the rows of the first, not for its commit; its own commit waits."""
    told: list[str] = []
    first, second = parts(told, ["v1"], ["v2"])
    second.may_write.set()
    second.may_commit.set()
    storing = [start(second.store), start(first.store)]
    first.may_write.set()
    wait_for(lambda: second.turn.is_written)
    assert of_rows(told) == ["1 written", "2 written"]
    first.may_commit.set()
    for stored in storing:
        stored.result(SECONDS_MAX)
    assert of_rows(told) == ["1 written", "2 written", "1 durable", "2 durable"]


def test_a_part_with_events_of_the_same_visits_waits_until_they_can_be_seen(start: Start) -> None:
    """Where its events go depends on those of the visit that are there."""
    told: list[str] = []
    first, second = parts(told, ["v1", "v2"], ["v2"])
    for part in (first, second):
        part.may_write.set()
        part.may_commit.set()
    storing = [start(second.store), start(first.store)]
    for stored in storing:
        stored.result(SECONDS_MAX)
    assert of_rows(told) == ["1 written", "1 durable", "2 written", "2 durable"]


def test_no_more_than_two_parts_have_a_connection(start: Start) -> None:
    """The third gets one when the first is durable, the fourth when the second is."""
    told: list[str] = []
    first, second, third, fourth = made = parts(told, ["v1"], ["v2"], ["v3"], ["v4"])
    storing = [start(part.store) for part in reversed(made)]
    for part in made:
        part.may_write.set()
    for part in (first, third, fourth):
        part.may_commit.set()
    assert third.is_connected.wait(SECONDS_MAX)
    assert "1 durable" in told
    assert not fourth.is_connected.is_set()
    second.may_commit.set()
    for stored in storing:
        stored.result(SECONDS_MAX)
    assert told.index("4 connected") > told.index("2 durable")


def test_a_part_that_failed_gives_up_its_connection(start: Start) -> None:
    """The second behind it may take one, to find that it must not be committed."""
    told: list[str] = []
    first, second, third = parts(told, ["v1"], ["v2"], ["v3"])
    storing = [start(third.store), start(second.store), start(first.fail)]
    for part in (first, second, third):
        part.may_write.set()
        part.may_commit.set()
    assert third.is_connected.wait(SECONDS_MAX)
    for stored in storing:
        with pytest.raises(StoreUnavailable):
            stored.result(SECONDS_MAX)


def test_after_a_part_that_failed_none_is_committed(start: Start) -> None:
    """Neither the next nor the one behind that, so that no line overtakes another; they write nothing."""
    told: list[str] = []
    first, second, third = parts(told, ["v1"], ["v2"], ["v3"])
    for part in (first, second, third):
        part.may_write.set()
        part.may_commit.set()
    for storing in (start(third.store), start(second.store), start(first.fail)):
        with pytest.raises(StoreUnavailable):
            storing.result(SECONDS_MAX)
    assert of_rows(told) == []


def test_the_thread_that_has_written_begins_the_next_part(start: Start) -> None:
    """The one that waits for its turn need not wake up first; if its part cannot begin, it alone is told."""
    first = Turn(["v1"], None)
    second = Turn(["v2"], first)
    doing: list[int] = []

    def begin() -> None:
        doing.append(threading.get_ident())
        raise StoreUnavailable

    waiting = start(lambda: second.begin_writing(begin))
    wait_for(lambda: first._next)
    first.rows_are_written()
    with pytest.raises(StoreUnavailable):
        waiting.result(SECONDS_MAX)
    assert doing == [threading.get_ident()]
