"""Requests of many threads answered together: while one commit runs, those that come wait for the next.

The first to come leads: it takes whoever waits by then, has all of them answered in one transaction,
and hands the lead to the first of those that came meanwhile. So nobody waits for company, and under
load one commit serves many.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.domain.errors import StoreUnavailable

Q = TypeVar("Q")
A = TypeVar("A")

#: Two, so that one computes while the other waits for Postgres.
LEADERS_MAX = 2


def _taken_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Party(Generic[Q, A]):
    """One caller's questions. `turn` is released once they are answered, or when it is to lead."""

    questions: Sequence[Q]
    turn: threading.Lock = field(default_factory=_taken_lock)
    answers: Sequence[A] | None = None
    error: Exception | None = None

    @property
    def is_answered(self) -> bool:
        return self.answers is not None or self.error is not None


class Gathering(Generic[Q, A]):
    """Answers callers' questions, several callers' at once. Shared by threads."""

    def __init__(
        self,
        answer_all: Callable[[Sequence[Q]], Sequence[A]],
        *,
        most: int,
        seconds_left: Callable[[], float],
        leaders_max: int = LEADERS_MAX,
    ) -> None:
        """Answer with `answer_all`: one answer for each question, in order, all durable when it returns.

        At most `most` questions are put together; a caller's own stay together however many they are.
        `seconds_left` is how long the calling thread may still wait.
        """
        self._answer_all = answer_all
        self._most = most
        self._seconds_left = seconds_left
        self._leaders_max = leaders_max
        self._lock = threading.Lock()
        self._waiting: deque[_Party[Q, A]] = deque()
        self._leaders = 0

    def ask(self, questions: Sequence[Q]) -> Sequence[A]:
        """The answers to these questions, in order.

        Raises what `answer_all` raises for them alone, whoever they were put together with, and
        StoreUnavailable when the caller's time is over; then it is not known whether they took effect.
        """
        if not questions:
            return []
        party: _Party[Q, A] = _Party(questions)
        if not self._leads_at_once(party):
            self._await_turn(party)
        if not party.is_answered:
            self._lead(party)
        if party.error is not None:
            raise party.error
        assert party.answers is not None, "a party that was served has its answers"
        return party.answers

    def _leads_at_once(self, party: _Party[Q, A]) -> bool:
        with self._lock:
            if self._leaders < self._leaders_max:
                self._leaders += 1
                return True
            self._waiting.append(party)
            return False

    def _await_turn(self, party: _Party[Q, A]) -> None:
        if party.turn.acquire(timeout=max(0.0, self._seconds_left())):
            return
        with self._lock:
            if party in self._waiting:
                self._waiting.remove(party)
                raise StoreUnavailable
        # It was taken along, or called to lead, while its time ran out.
        if not party.turn.acquire(blocking=False):
            raise StoreUnavailable

    def _lead(self, first: _Party[Q, A]) -> None:
        parties = [first]
        try:
            self._join_waiting(parties)
            self._serve(parties)
        finally:
            self._hand_over()
            for party in parties:
                if not party.is_answered:
                    # This thread is being ended; nothing is known of what it did for the others.
                    party.error = StoreUnavailable()
                if party is not first:
                    party.turn.release()

    def _join_waiting(self, parties: list[_Party[Q, A]]) -> None:
        room = self._most - len(parties[0].questions)
        with self._lock:
            while self._waiting and len(self._waiting[0].questions) <= room:
                party = self._waiting.popleft()
                room -= len(party.questions)
                parties.append(party)

    def _hand_over(self) -> None:
        """Call the first that waits to lead; with none, there is a leader less."""
        with self._lock:
            if self._waiting:
                # Within the lock, so that whoever gives up waiting knows whether the lead is its own.
                self._waiting.popleft().turn.release()
            else:
                self._leaders -= 1

    def _serve(self, parties: Sequence[_Party[Q, A]]) -> None:
        """Answer all together; where that fails, each alone, so that nobody suffers for another."""
        try:
            answers = self._answer_all([question for party in parties for question in party.questions])
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
                self._serve([party])
            return
        assert len(answers) == sum(len(party.questions) for party in parties), "an answer for each question"
        place = 0
        for party in parties:
            party.answers = answers[place : place + len(party.questions)]
            place += len(party.questions)
