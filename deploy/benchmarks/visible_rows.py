"""From accepted to visible: how long after its 202 an event's count stands in Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import redis

from deploy.benchmarks.dataset import PAYER, Visits, member_id
from deploy.benchmarks.figures import Figure, Goal, Row
from deploy.benchmarks.http_rows import EVENTS
from deploy.benchmarks.load import Load, Target, drive
from deploy.benchmarks.plan import Plan
from deploy.benchmarks.stack import Site, Stack, await_true, redis_client
from shared.adapters.redis.keys import counter_key
from shared.domain.records import MemberRef

PER_SECOND = 500
VISIBLE_SECONDS_MAX = 30.0
#: Ask Redis to tell of each string that is written, by its key.
NOTIFY = "E$"


class _Watcher:
    """Notes when each counter was last written, from Redis's own notifications."""

    def __init__(self, client: redis.Redis, database: int) -> None:
        self.seen_at_ns: dict[bytes, int] = {}
        self._subscription = client.pubsub()  # type: ignore[no-untyped-call]  # redis-py types only a part
        self._subscription.subscribe(f"__keyevent@{database}__:set")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            message = self._subscription.get_message(timeout=0.2)
            if message is not None and message["type"] == "message":
                # The first writing is the one that shows the event: each member has one event.
                self.seen_at_ns.setdefault(message["data"], time.monotonic_ns())

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join(timeout=5)
        self._subscription.close()


def measure_visible(stack: Stack, site: Site, plan: Plan, visits: Visits) -> tuple[Figure, Figure]:
    """The 99th percentile and the median, in milliseconds, of each run at 500 events a second.

    API, worker and beat of `site` run and nothing waits.
    """
    client = redis_client(site.redis_url)
    client.config_set("notify-keyspace-events", NOTIFY)
    count = int(plan.paced_seconds * PER_SECOND)
    slow, middle = [], []
    try:
        for run in range(plan.paced_rounds):
            # Every event is another member's, so that the first writing of its counter shows it.
            first = run * count % max(plan.members - count, 1)
            waits = _waits_ns(stack, site, visits, list(range(first, first + count)))
            slow.append(waits[len(waits) * 99 // 100] / 1e6)
            middle.append(waits[len(waits) // 2] / 1e6)
    finally:
        client.config_set("notify-keyspace-events", "")
        client.close()
    return Figure(tuple(slow)), Figure(tuple(middle))


def _waits_ns(stack: Stack, site: Site, visits: Visits, members: Sequence[int]) -> list[int]:
    """The time from each event's answer to its member's counter, shortest first."""
    keys = [
        counter_key(site.hash_key, MemberRef(payer_id=PAYER, member_id=member_id(number))).encode()
        for number in members
    ]
    client = redis_client(site.redis_url)
    watcher = _Watcher(client, client.connection_pool.connection_kwargs["db"])
    try:
        answers = drive(
            Target(port=site.api_port, path=EVENTS, key=site.key, expected=202),
            visits.of_each(members),
            Load(seconds=2 * len(members) / PER_SECOND, repeat=False, per_second=PER_SECOND, stamps=True),
            stack.cores,
        )
        await_true(
            lambda: watcher.seen_at_ns.keys() >= set(keys), VISIBLE_SECONDS_MAX, "showing events in Redis"
        )
    finally:
        watcher.stop()
        client.close()
    # A counter may be written before the client has read its answer: then the wait is none.
    return sorted(
        max(0, watcher.seen_at_ns[key] - at) for key, at in zip(keys, answers.answered_at_ns, strict=True)
    )


def visible_row(slow: Figure, middle: Figure) -> Row:
    """Its line of the table."""
    return Row(
        what=f"accepted to visible in Redis at {PER_SECOND} events/s, p99",
        unit="ms",
        figure=slow,
        goal=Goal(target=250, stretch=60, at_least=False, unit=" ms"),
        note=f"median {middle.shown()} ms",
    )
