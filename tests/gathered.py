"""Those who answer many callers together, as slowly as a test wants it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from services.coverage_api.gathering import Gathering
from shared.domain.errors import StoreUnavailable
from shared.ports import Sent

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


class Hurry:
    """Patience without end, but for a thread that `hurries`: its time is over once the test says so."""

    def __init__(self) -> None:
        self.has_come = threading.Event()
        self.is_over = threading.Event()
        self._those = threading.local()

    def hurries(self) -> None:
        """This thread does."""
        self._those.hurry = True

    def seconds_left(self) -> float:
        """What a gathering is to ask. Whoever is asked waits in it by now."""
        if not getattr(self._those, "hurry", False):
            return PATIENCE_SECONDS
        self.has_come.set()
        assert self.is_over.wait(PATIENCE_SECONDS)
        return 0.0


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


def gathering(bench: Bench, **changes: Any) -> Gathering[int, int]:
    """One leader at a time and at most four questions together, unless said otherwise."""
    options: dict[str, Any] = {"most": 4, "leaders_max": 1, "seconds_left": lambda: PATIENCE_SECONDS}
    return Gathering(bench.answer_all, **{**options, **changes})


def more_wait(asked: Gathering[int, int], than: int) -> bool:
    """Whether more callers than that wait."""
    return len(asked._waiting) > than
