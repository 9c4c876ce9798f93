"""Group commit: requests of many threads answered together; those that come during one commit share the next.

The first to come leads: it takes whoever waits by then, and has all of them answered in one transaction. The
first of those that came meanwhile leads next, as soon as the one before waits for nothing but its commit:
a transaction costs as much as several requests, so who comes while one decides shares the next, and while
the disk writes, the next decides. When a dozen wait, they set out beside one that decides, which waits for
Redis and Postgres most of the time. Nobody waits for more to come, and under load one commit serves many.

A caller may leave its question and what is to be called with the answer (`ask_later`). Its thread is free
then, unless nobody else is there to lead: so one thread waits, not all of them, and none has to be woken.

Those who wait for their answers wake each other, three at a time: woken at once, they would all wait for the
interpreter and pass it around, and one by one the last would wait behind every call that came meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import structlog

from services.coverage_api.logs import CALL_FAILED
from shared.adapters.logs import described
from shared.domain.errors import StoreUnavailable
from shared.ports import Sent

Q = TypeVar("Q")
A = TypeVar("A")

#: Groups under way at once: one or two decide, and the others wait for the disk.
LEADERS_MAX = 4

#: Who decides waits for Redis and Postgres, too. Another group may decide meanwhile, once so many callers
#: wait (however many questions they have).
DECIDING_MAX = 2
COMPANY_MIN = 12

#: Answered callers of one group who are on their way to waking up at once.
WAKING_MAX = 3

#: Nobody waits longer than this for one that decides while another may set out.
HASTE_AFTER_SECONDS = 0.05

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Party(Generic[Q, A]):
    """One caller's questions.

    Where it `has_thread`, `turn` is released once they are answered, or when that thread `leads`. While it
    leads, `has_begun` is whether it took along who waited, `is_committing` whether only its commit is waited
    for. Once `is_taken` it is answered by whoever took it along, or given up. Once awake it wakes the first
    in `to_wake` that has not left, who wakes the next. `told` is called with the answer to one who asked
    later.
    """

    questions: Sequence[Q]
    told: Callable[[A | Exception], None] | None = None
    turn: threading.Lock = field(default_factory=_taken_lock)
    to_wake: deque[_Party[Q, A]] = field(default_factory=deque)
    has_thread: bool = True
    is_taken: bool = False
    has_left: bool = False
    leads: bool = False
    has_begun: bool = False
    is_committing: bool = False
    answers: Sequence[A] | None = None
    error: Exception | None = None

    @property
    def is_answered(self) -> bool:
        return self.answers is not None or self.error is not None

    def call(self) -> None:
        """Have its thread look: it was answered, or is to lead. Called twice at once, it looks once."""
        if self.turn.locked():
            self.turn.release()

    @property
    def result(self) -> A | Exception:
        """The answer to the one question of who asked later, or what became of it instead."""
        if self.answers is None:
            assert self.error is not None, "a party that was served has its answers"
            return self.error
        return self.answers[0]


class Gathering(Generic[Q, A]):
    """Answers callers' questions, several callers' at once. Shared by threads."""

    def __init__(
        self,
        answer_all: Callable[[Sequence[Q], Sent], Sequence[A]],
        *,
        most: int,
        seconds_left: Callable[[], float],
        leaders_max: int = LEADERS_MAX,
        waking_max: int = WAKING_MAX,
        company_min: int = COMPANY_MIN,
        haste_after_seconds: float = HASTE_AFTER_SECONDS,
    ) -> None:
        """Answer with `answer_all`: one answer for each question, in order, all durable when it returns.

        It is handed what to call when its commit is sent, so that the next may set out; without a call they
        follow one another. At most `most` questions are put together; a caller's own stay together however
        many they are. `seconds_left` is how long the calling thread may still wait; for those before it to
        decide it waits `haste_after_seconds` at most, or until `company_min` wait. Of those it answered a
        leader wakes `waking_max`, and each of these the next.
        """
        self._answer_all = answer_all
        self._most = most
        self._seconds_left = seconds_left
        self._leaders_max = leaders_max
        self._waking_max = waking_max
        self._company_min = company_min
        self._haste_after_seconds = haste_after_seconds
        self._lock = threading.Lock()
        self._waiting: deque[_Party[Q, A]] = deque()
        #: Whose threads are there to lead and not called yet, in the order in which they came.
        self._ready: dict[_Party[Q, A], None] = {}
        self._leaders: list[_Party[Q, A]] = []

    def ask(self, questions: Sequence[Q]) -> Sequence[A]:
        """The answers to these questions, in order.

        Raises what `answer_all` raises for them alone, whoever they were put together with, and
        StoreUnavailable when the caller's time is over; then it is not known whether they took effect.
        """
        if not questions:
            return []
        party: _Party[Q, A] = _Party(questions)
        with self._lock:
            self._waiting.append(party)
            self._ready[party] = None
            self._set_out()
        self._stay(party)
        if party.error is not None:
            raise party.error
        if party.answers is None:
            raise StoreUnavailable
        return party.answers

    def ask_later(self, question: Q, told: Callable[[A | Exception], None]) -> None:
        """Have `told` called with the answer to a question, or with what `ask` would have raised.

        It is called once, in whichever thread, perhaps before this returns; others wait until it is done, and
        what it raises is only logged. Where nobody else is there to lead, this thread stays until it has led.
        """
        party: _Party[Q, A] = _Party([question], told)
        with self._lock:
            self._waiting.append(party)
            party.has_thread = not self._ready
            if party.has_thread:
                self._ready[party] = None
            self._set_out()
        if party.has_thread:
            self._stay(party)

    def _stay(self, party: _Party[Q, A]) -> None:
        """Return when the party is answered or its time is over, and lead when called to.

        Whoever has led also leads those for whom there was no room, if nobody else is there to do so.
        """
        given_up: list[_Party[Q, A]] = []
        try:
            while self._is_needed(party):
                if not party.leads and not self._is_called(party, given_up):
                    break
                if party.leads:
                    self._lead(party)
        except BaseException:
            # This thread is being ended.
            with self._lock:
                self._give_up(party, given_up)
            raise
        finally:
            with self._lock:
                # Nobody wakes it any more, so it does not keep those behind it from waking.
                party.has_left = True
                self._wake(party.to_wake, 1)
            self._tell(given_up)

    def _is_needed(self, party: _Party[Q, A]) -> bool:
        """Whether a party's thread is to lead, or to stay for its answer or for others whom nobody leads.

        Another may have taken it along. Then it stays to be called to lead no longer, and one who asked later
        need not wait.
        """
        with self._lock:
            if party.leads:
                return True
            if party.is_taken:
                self._ready.pop(party, None)
                if not self._are_forsaken():
                    return not party.is_answered and party.told is None
            if party not in self._ready:
                self._ready[party] = None
                self._set_out()
            return True

    def _are_forsaken(self) -> bool:
        """Whether some wait, and no thread is there, or called, to lead them. The lock is held."""
        is_called = any(not leader.has_begun for leader in self._leaders)
        return bool(self._waiting) and not self._ready and not is_called

    def _set_out(self, *, in_haste: bool = False) -> None:
        """Have the first whose thread stays lead those who wait, if one may. The lock is held.

        It waits for one that decides, unless so many wait by now that they are worth a transaction of their
        own, or in haste.
        """
        if not self._waiting or not self._ready or len(self._leaders) >= self._leaders_max:
            return
        deciding = sum(not leader.is_committing for leader in self._leaders)
        is_company = deciding < DECIDING_MAX and len(self._waiting) >= self._company_min
        if deciding and not is_company and not in_haste:
            return
        leader = next(iter(self._ready))
        del self._ready[leader]
        leader.leads, leader.has_begun, leader.is_committing = True, False, False
        self._leaders.append(leader)
        leader.call()

    def _is_called(self, party: _Party[Q, A], given_up: list[_Party[Q, A]]) -> bool:
        """Wait until the party is answered or called to lead; False, and who is given up, if time is over."""
        left = max(0.0, self._seconds_left())
        if party.turn.acquire(timeout=min(left, self._haste_after_seconds)):
            return True
        with self._lock:
            if party in self._ready:
                self._set_out(in_haste=True)
        if party.turn.acquire(timeout=max(0.0, left - self._haste_after_seconds)):
            return True
        with self._lock:
            if party.leads or party.turn.acquire(blocking=False):
                return True
            if party in self._ready:
                self._give_up(party, given_up)
            # Else it was taken along; who asked later will be told all the same.
            return False

    def _give_up(self, party: _Party[Q, A], given_up: list[_Party[Q, A]]) -> None:
        """Have a party wait no longer; adds whom to tell. The lock is held.

        Where nobody else is there to lead, those behind it are told the same: the store has been away for so
        long.
        """
        self._ready.pop(party, None)
        gone = []
        if not party.is_taken:
            self._waiting.remove(party)
            gone.append(party)
        if self._are_forsaken():
            gone += self._waiting
            self._waiting.clear()
        for one in gone:
            one.is_taken, one.error = True, StoreUnavailable()
        given_up += gone

    def _wake(self, answered: deque[_Party[Q, A]], count: int) -> None:
        """Wake the first `count` of these that still wait; each wakes the next of them. The lock is held."""
        while answered and count:
            party = answered.popleft()
            if not party.has_left:
                party.to_wake = answered
                party.call()
                count -= 1

    def _lead(self, leader: _Party[Q, A]) -> None:
        """Have those who wait answered, in order, as many as may be put together."""
        with self._lock:
            led = self._take_along()
            leader.has_begun = True
        try:
            self._serve(led, partial(self._let_follow, leader))
        finally:
            for party in led:
                if not party.is_answered:
                    # This thread is being ended; nothing is known of what it did for the others.
                    party.error = StoreUnavailable()
            with self._lock:
                leader.leads = False
                self._leaders.remove(leader)
                self._set_out()
                others = deque(party for party in led if party.has_thread and party is not leader)
                self._wake(others, self._waking_max)
            self._tell(led)

    def _tell(self, parties: Sequence[_Party[Q, A]]) -> None:
        """Tell those who asked later. Raises nothing: this thread may be ending, or be needed to lead."""
        for party in parties:
            if party.told is not None:
                try:
                    party.told(party.result)
                except Exception as error:  # noqa: BLE001 - those behind it have waited for their answers
                    _log.error(CALL_FAILED, **described(error))

    def _take_along(self) -> list[_Party[Q, A]]:
        """Take whoever waits, in order, as far as there is room. The lock is held."""
        led: list[_Party[Q, A]] = []
        room = self._most
        while self._waiting and (not led or len(self._waiting[0].questions) <= room):
            party = self._waiting.popleft()
            self._ready.pop(party, None)
            party.is_taken = True
            room -= len(party.questions)
            led.append(party)
        return led

    def _let_follow(self, leader: _Party[Q, A]) -> None:
        """Its commit is sent: the next may set out."""
        with self._lock:
            leader.is_committing = True
            self._set_out()

    def _serve(self, parties: Sequence[_Party[Q, A]], sent: Sent) -> None:
        """Answer all together; where that fails, each alone, so that nobody suffers for another."""
        if not parties:
            # Another led those who waited, before this one was awake.
            return
        try:
            answers = self._answer_all([question for party in parties for question in party.questions], sent)
        except StoreUnavailable as error:
            # Nobody's fault, and asking once more for each would only take longer.
            for party in parties:
                party.error = error
            return
        except Exception as error:  # noqa: BLE001 - raised again in the thread of whoever asked, or told
            if len(parties) == 1:
                parties[0].error = error
                return
            for party in parties:
                self._serve([party], sent)
            return
        assert len(answers) == sum(len(party.questions) for party in parties), "an answer for each question"
        place = 0
        for party in parties:
            party.answers = answers[place : place + len(party.questions)]
            place += len(party.questions)
