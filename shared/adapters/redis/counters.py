"""Counters: the projection of accumulators that answers are read from while it is there (I5, I6)."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import redis
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as NoAnswerInTime

from shared.adapters.redis.asking import Asking
from shared.adapters.redis.counter_format import FORMAT, decode, encode
from shared.adapters.redis.keys import counter_key
from shared.domain.benefit_period import UNBOUNDED_END
from shared.domain.errors import CountersUnavailable
from shared.domain.records import CounterImage, MemberRef

_DAY_SECONDS = 24 * 3600

#: A counter that nothing changed for this long is dropped; Postgres answers for it.
LIFE_SECONDS = 400 * _DAY_SECONDS

#: So long after the last of its periods is over a counter is dropped sooner: few ask for it then.
AFTER_END_SECONDS = 90 * _DAY_SECONDS

#: Counters read, or deleted, at once: enough to hide the way there, few enough to leave room for others.
CHUNK = 500

#: After Redis let us wait in vain, everyone is sent to Postgres at once for this long.
PAUSE_SECONDS = 1.0

#: Counters written by one command: while it runs Redis does nothing else.
WRITTEN_AT_ONCE_MAX = 200

_PROJECT = (Path(__file__).parent / "scripts" / "project.lua").read_bytes()
_PROJECT_SHA = hashlib.sha1(_PROJECT, usedforsecurity=False).hexdigest()

T = TypeVar("T")


def _today() -> date:
    return datetime.now(UTC).date()


class RedisCounters:
    """Counters in Redis. Safe to share between threads."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        hash_key: bytes,
        monotonic: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = _today,
    ) -> None:
        """Use `client` (bytes in, bytes out) and name keys with the installation's `hash_key`.

        `today` decides how long a counter is kept, and nothing else.
        """
        self._today = today
        self._client = client
        self._asking = Asking(client)
        self._hash_key = hash_key
        self._monotonic = monotonic
        self._paused_until = float("-inf")

    def project(self, images: Sequence[CounterImage]) -> None:
        """Write each image unless one at least as new is there. Raises CountersUnavailable.

        Then some may be written and others not; to project them again does no harm.
        """
        with self._translated():
            for chunk in _chunks(images, WRITTEN_AT_ONCE_MAX):
                try:
                    self._send(chunk)
                except NoScriptError:
                    self._client.script_load(_PROJECT)
                    self._send(chunk)

    def read(self, refs: Sequence[MemberRef]) -> Mapping[MemberRef, CounterImage]:
        """The images that are there. Raises CountersUnavailable."""
        found: dict[MemberRef, CounterImage] = {}
        with self._translated():
            for chunk in _chunks(refs):
                for ref, value in zip(chunk, self._values(chunk), strict=True):
                    image = decode(ref, value) if value is not None else None
                    if image is not None:
                        found[ref] = image
        return found

    def forget(self, refs: Sequence[MemberRef]) -> None:
        """Delete these members' counters. Raises CountersUnavailable."""
        with self._translated():
            for chunk in _chunks(refs):
                pipe = self._client.pipeline(transaction=False)
                for ref in chunk:
                    pipe.delete(counter_key(self._hash_key, ref))
                pipe.execute()

    def _send(self, images: Sequence[CounterImage]) -> None:
        """Have the script write these images. Raises NoScriptError where Redis does not know it."""
        today = self._today()
        keys = [counter_key(self._hash_key, image.ref) for image in images]
        values: list[bytes | int] = [FORMAT]
        lives: dict[date, int] = {}
        for image in images:
            last = max([stored.state.key.period.end for stored in image.accumulators], default=UNBOUNDED_END)
            if last not in lives:
                lives[last] = _life_seconds(last, today)
            values += (encode(image), image.version, lives[last])
        # One command for many keys, as with reading: in a cluster each would be a command of its own.
        self._client.evalsha(_PROJECT_SHA, len(keys), *keys, *values)

    def _values(self, refs: Sequence[MemberRef]) -> list[bytes | None]:
        """What is stored at each member's key; None where there is nothing, or nothing of ours."""
        # One command for all keys: the client spends on each command what Redis spends on a hundred keys.
        # In a cluster, where they lie on different servers, its `mget_nonatomic` does the same.
        if not refs:
            return []
        values: list[bytes | None] = self._asking.ask(
            "MGET", *[counter_key(self._hash_key, ref) for ref in refs]
        )
        return values

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        if self._monotonic() < self._paused_until:
            raise CountersUnavailable
        try:
            yield
        except NoAnswerInTime as error:
            self._paused_until = self._monotonic() + PAUSE_SECONDS
            raise CountersUnavailable from error
        except RedisError as error:
            raise CountersUnavailable from error


def _life_seconds(last: date, today: date) -> int:
    """How long a counter is kept: some time beyond the end of the last of its periods, and never for ever."""
    left = max((last - today).days, 0) * _DAY_SECONDS
    return min(left + AFTER_END_SECONDS, LIFE_SECONDS)


def _chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
