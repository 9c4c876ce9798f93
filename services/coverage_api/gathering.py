"""Requests of many threads answered together: while one commit runs, those that come wait for the next.

The first to come leads: it takes whoever waits by then, and has all of them answered in one transaction. The
first of those that came meanwhile leads next, as soon as the one before waits for nothing but its commit:
a transaction costs as much as several requests, so who comes while one decides shares the next, and while
the disk writes, the next decides. Nobody waits for company, and under load one commit serves many.

Those who were answered wake each other, three at a time: woken at once, they would all wait for the
interpreter and pass it around, and one by one the last would wait behind every call that came meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from shared.domain.errors import StoreUnavailable
from shared.ports import Sent

Q = TypeVar("Q")
A = TypeVar("A")

#: Groups under way at once: one decides, and the others wait for the disk.
LEADERS_MAX = 4

#: Answered callers of one group who are on their way to waking up at once.
WAKING_MAX = 3

#: Nobody waits longer than this for one that decides while another may set out.
HASTE_AFTER_SECONDS = 0.05


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Party(Generic[Q, A]):
    """One caller's questions. `turn` is released once they are answered, or when it is to lead `led`.

    Once awake it wakes the first in `to_wake` that has not left, who wakes the next. While it leads,
    `is_committing` is whether only its commit is waited for.
    """

    questions: Sequence[Q]
    turn: threading.Lock = field(default_factory=_taken_lock)
    led: list[_Party[Q, A]] = field(default_factory=list)
    to_wake: deque[_Party[Q, A]] = field(default_factory=deque)
    has_left: bool = False
    is_committing: bool = False
    answers: Sequence[A] | None = None
    error: Exception | None = None

    @property
    def is_answered(self) -> bool:
        return self.answers is not None or self.error is not None


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
        haste_after_seconds: float = HASTE_AFTER_SECONDS,
    ) -> None:
        """Answer with `answer_all`: one answer for each question, in order, all durable when it returns.

        It is handed what to call when its commit is sent, so that the next may set out; without a call they
        follow one another. At most `most` questions are put together; a caller's own stay together however
        many they are. `seconds_left` is how long the calling thread may still wait; for those before it to
        decide it waits `haste_after_seconds` at most. Of those it answered a leader wakes
        `waking_max`, and each of these the next.
        """
        self._answer_all = answer_all
        self._most = most
        self._seconds_left = seconds_left
        self._leaders_max = leaders_max
        self._waking_max = waking_max
        self._haste_after_seconds = haste_after_seconds
        self._lock = threading.Lock()
        self._waiting: deque[_Party[Q, A]] = deque()
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
            leads = self._set_out(party)
        if not leads:
            self._await_turn(party)
        if party.is_answered:
            self._wake(party.to_wake, 1)
        else:
            self._lead(party)
        if party.error is not None:
            raise party.error
        assert party.answers is not None, "a party that was served has its answers"
        return party.answers

    def _set_out(self, running: _Party[Q, A] | None = None, *, in_haste: bool = False) -> bool:
        """Have the first that waits lead, if one may; whether that is the thread that is `running`.

        In haste it need not wait for one that decides. The lock is held.
        """
        if not self._waiting or len(self._leaders) >= self._leaders_max:
            return False
        if not in_haste and not all(leader.is_committing for leader in self._leaders):
            return False
        first = self._waiting.popleft()
        self._leaders.append(first)
        first.led.append(first)
        self._join_waiting(first)
        if first is running:
            return True
        # Within the lock, so that whoever gives up waiting knows whether the lead is its own.
        first.turn.release()
        return False

    def _join_waiting(self, leader: _Party[Q, A]) -> None:
        """Take along who waits, in order, as far as there is room. The lock is held."""
        room = self._most - sum(len(party.questions) for party in leader.led)
        while self._waiting and len(self._waiting[0].questions) <= room:
            party = self._waiting.popleft()
            room -= len(party.questions)
            leader.led.append(party)

    def _await_turn(self, party: _Party[Q, A]) -> None:
        left = max(0.0, self._seconds_left())
        if party.turn.acquire(timeout=min(left, self._haste_after_seconds)):
            return
        with self._lock:
            if party in self._waiting and self._set_out(party, in_haste=True):
                return
        if party.turn.acquire(timeout=max(0.0, left - self._haste_after_seconds)):
            return
        with self._lock:
            if party in self._waiting:
                self._waiting.remove(party)
                raise StoreUnavailable
            # It was taken along, or called to lead, while its time ran out.
            party.has_left = not party.turn.acquire(blocking=False)
        if party.has_left:
            raise StoreUnavailable

    def _wake(self, answered: deque[_Party[Q, A]], count: int) -> None:
        """Wake the first `count` of these that still wait; each wakes the next of them."""
        with self._lock:
            while answered and count:
                party = answered.popleft()
                if not party.has_left:
                    party.to_wake = answered
                    party.turn.release()
                    count -= 1

    def _lead(self, leader: _Party[Q, A]) -> None:
        with self._lock:
            # Others may have come since it was called.
            self._join_waiting(leader)
        try:
            self._serve(leader.led, partial(self._let_follow, leader))
        finally:
            with self._lock:
                self._leaders.remove(leader)
                self._set_out()
            for party in leader.led:
                if not party.is_answered:
                    # This thread is being ended; nothing is known of what it did for the others.
                    party.error = StoreUnavailable()
            answered = deque(party for party in leader.led if party is not leader)
            # It holds itself, and would wait for the collector of cycles.
            leader.led = []
            self._wake(answered, self._waking_max)

    def _let_follow(self, leader: _Party[Q, A]) -> None:
        """Its commit is sent: the next may set out."""
        with self._lock:
            leader.is_committing = True
            self._set_out()

    def _serve(self, parties: Sequence[_Party[Q, A]], sent: Sent) -> None:
        """Answer all together; where that fails, each alone, so that nobody suffers for another."""
        try:
            answers = self._answer_all([question for party in parties for question in party.questions], sent)
        except StoreUnavailable as error:
            # Nobody's fault, and asking once more for each would only take longer.
            for party in parties:
                party.error = error
            return
        except Exception as error:  # noqa: BLE001 - raised again in the thread of whoever asked
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
