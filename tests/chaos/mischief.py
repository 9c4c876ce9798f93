"""What is done to the service while it works, each at random moments of its own."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import psycopg
import redis

from tests.chaos.plant import APIS, KINDS, WORKERS, Plant

#: Longer than any time-out of the service within a call, shorter than any patience of a client.
STOPS = (0.2, 6.0)
#: How often a process is struck all the same that has not come up yet.
STRUCK_STARTING = 0.15


class Mischief:
    """Does one thing after the other, and keeps the score. For the thread that has the plant."""

    def __init__(self, plant: Plant, dice: random.Random, pauses: tuple[float, float]) -> None:
        """Do nothing yet. `pauses` are the least and the most seconds between one deed and the next."""
        self._pauses_between = pauses
        self._plant = plant
        self._dice = dice
        self._next_at = 0.0
        self.done: Counter[str] = Counter()
        self._deeds: list[tuple[int, str, Callable[[], bool]]] = [
            *((8, f"killed {KINDS[name]}", self._kills(name)) for name in (*APIS, *WORKERS)),
            (6, "killed beat", self._kills("beat")),
            (6, "killed valkey", self._kills("valkey")),
            (5, "killed postgres", self._kills("postgres")),
            (4, "killed postgres (immediate shutdown)", self._kills("postgres", signal.SIGQUIT)),
            (3, "emptied valkey", plant.empty_valkey),
            (8, "flushed", self._flush),
            *((3, f"paused {KINDS[name]}", self._pauses(name)) for name in (*APIS, *WORKERS)),
            (3, "paused valkey", self._pauses("valkey")),
            (3, "paused postgres", self._pauses("postgres")),
            (8, "cut connections", self._cut),
            (3, "ended sessions", self._end_sessions),
        ]

    def step(self) -> bool:
        """Do the next thing if it is time for it; whether anything was done."""
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + self._dice.uniform(*self._pauses_between)
        [(_, name, deed)] = self._dice.choices(self._deeds, [weight for weight, _, _ in self._deeds])
        did = deed()
        if did:
            self.done[name] += 1
        return did

    def _kills(self, name: str, number: signal.Signals = signal.SIGKILL) -> Callable[[], bool]:
        return lambda: self._may_strike(name) and self._plant.kill(name, number)

    def _pauses(self, name: str) -> Callable[[], bool]:
        return lambda: self._may_strike(name) and self._plant.pause(name, self._dice.uniform(*STOPS))

    def _may_strike(self, name: str) -> bool:
        """A process that is only starting is mostly left to it: else a busy machine would do nothing else."""
        return self._plant.is_up(name) or self._dice.random() < STRUCK_STARTING

    def _flush(self) -> bool:
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis.from_url(self._plant.valkey.url(), socket_timeout=1) as client,
        ):
            client.flushall()
            return True
        return False

    def _cut(self) -> bool:
        self._plant.proxy.cut()
        return True

    def _end_sessions(self) -> bool:
        with contextlib.suppress(psycopg.Error):
            self._plant.end_sessions()
            return True
        return False
