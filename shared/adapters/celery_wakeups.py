"""Wake-ups: telling the worker, after a commit, which shards have work.

A thread of its own sends them, so that no caller ever waits for Redis or the broker. A flag in Redis
keeps a second wake-up from being sent while one is on its way; the worker deletes the flag before it
drains, and its sweep finds whatever was missed here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import redis
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from shared.adapters.celery_broker import configure_broker
from shared.failpoints import Step, around
from shared.messages import DRAIN_QUEUE, DRAIN_SHARD, wake_flag

#: A flag that nobody deleted (a lost task, a dead worker) holds back further wake-ups this long.
FLAG_MILLISECONDS = 2_000

#: After a failure, shards are left to the sweep for this long.
PAUSE_SECONDS = 5.0


class CeleryWakeUps:
    """Sends wake-ups. Safe to share between threads; made after a process has forked."""

    def __init__(
        self,
        client: redis.Redis,
        broker_url: str,
        *,
        monotonic: Callable[[], float],
        failed: Callable[[Exception], None],
    ) -> None:
        """Keep flags in `client`'s database and send through the broker at `broker_url`.

        `failed` is told of each failure that begins a pause; it must not raise.
        """
        self._client = client
        self._app = Celery("needlecap-wakeups", set_as_current=False)
        configure_broker(self._app, broker_url)
        self._monotonic = monotonic
        self._failed = failed
        self._paused_until = float("-inf")
        self._waiting: set[int] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wake(self, shards: Iterable[int]) -> None:
        """Have wake-ups sent for these shards, and return at once."""
        with self._changed:
            if self._closed:
                return
            self._waiting.update(shards)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Stop sending; what waits is left to the sweep."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=5)
        self._app.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                shards = sorted(self._waiting)
                self._waiting.clear()
            if self._monotonic() >= self._paused_until:
                self._send(shards)

    def _send(self, shards: Sequence[int]) -> None:
        try:
            with around(Step.WAKE_FLAG):
                unflagged = self._unflagged(shards)
            if unflagged:
                # One for all of them: whoever answers it drains every shard whose flag is up. A task
                # for each kept the next shards waiting while it was sent.
                with around(Step.WAKE_PUBLISH):
                    self._app.send_task(
                        DRAIN_SHARD, args=[unflagged[0]], queue=DRAIN_QUEUE, retry=False, ignore_result=True
                    )
        except (RedisError, KombuError, OSError) as error:
            self._paused_until = self._monotonic() + PAUSE_SECONDS
            self._failed(error)

    def _unflagged(self, shards: Sequence[int]) -> list[int]:
        """Those shards for which no wake-up is on its way; from now on one is."""
        pipe = self._client.pipeline(transaction=False)
        for shard in shards:
            pipe.set(wake_flag(shard), b"1", nx=True, px=FLAG_MILLISECONDS)
        return [shard for shard, was_set in zip(shards, pipe.execute(), strict=True) if was_set]
