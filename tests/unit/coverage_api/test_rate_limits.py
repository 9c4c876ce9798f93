"""Permits by the block: shared fairly, cheap to give out, and there without Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from services.coverage_api.rate_limits import PAUSE_SECONDS, RateLimiter
from shared.domain.client import Client
from shared.domain.errors import CountersUnavailable


def client(limit: int, client_id: str = "c") -> Client:
    """A client that may call so often."""
    return Client(client_id=client_id, name="c", role="ehr", payers=("*",), requests_per_second=limit)


class Windows:
    """What processes share: counts, the time, how often it was asked, and whether it answers."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.is_away = False
        self._counts: dict[str, tuple[int, float]] = {}

    def take(self, client_id: str, permits: int, window_milliseconds: int) -> tuple[int, int]:
        """See RateWindows."""
        self.asked += 1
        if self.is_away:
            raise CountersUnavailable
        count, ends = self._counts.get(client_id, (0, 0.0))
        if self.now >= ends:
            count, ends = 0, self.now + window_milliseconds / 1000
        self._counts[client_id] = (count + permits, ends)
        return count + permits, round((ends - self.now) * 1000)

    def process(self) -> RateLimiter:
        """The limiter of one process."""
        return RateLimiter(self, lambda: self.now)


def admitted(limiter: RateLimiter, who: Client, calls: int) -> int:
    """How many of so many calls are let through."""
    return sum(limiter.admit(who).is_admitted for _ in range(calls))


def test_window_lets_its_limit_through_and_the_next_one_again() -> None:
    """Within a second the limit and no more; a second later as many again."""
    windows = Windows()
    limiter = windows.process()
    assert admitted(limiter, client(5), 20) == 5
    windows.now += 0.9
    assert admitted(limiter, client(5), 20) == 0
    windows.now += 0.1
    assert admitted(limiter, client(5), 20) == 5


def test_processes_share_a_window() -> None:
    """However the calls fall on two processes, together they get what one would."""
    windows = Windows()
    one, other = windows.process(), windows.process()
    turns = [limiter.admit(client(40)).is_admitted for _ in range(50) for limiter in (one, other)]
    assert sum(turns) == 40
    windows.now += 1.0
    assert admitted(one, client(40), 100) == 40
    assert admitted(other, client(40), 100) == 0


def test_redis_is_asked_once_for_many_calls() -> None:
    """A block lasts for a twentieth of the limit, also when calls come slowly; refusals ask once a window."""
    windows = Windows()
    limiter = windows.process()
    assert admitted(limiter, client(1_000), 500) == 500
    assert windows.asked == 10
    for _ in range(49):
        windows.now += 5.0
        limiter.admit(client(1_000))
    assert windows.asked == 11
    assert admitted(limiter, client(2, "refused"), 1_000) == 2
    assert windows.asked <= 14


def test_leftovers_are_bounded_by_a_block() -> None:
    """What a process did not use of its block serves the next window, beside that window's own limit."""
    windows = Windows()
    limiter = windows.process()
    admitted(limiter, client(100), 1)
    windows.now += 10.0
    assert admitted(limiter, client(100), 500) == 100 + 100 // 20 - 1


def test_clients_do_not_use_each_others_permits() -> None:
    """One that is refused keeps no other out."""
    limiter = Windows().process()
    assert admitted(limiter, client(3, "greedy"), 100) == 3
    assert admitted(limiter, client(3, "modest"), 3) == 3


def test_without_redis_each_process_lets_the_limit_through() -> None:
    """Calls pass, bounded by process, Redis is left alone for a while, and shared again once it is back."""
    windows = Windows()
    windows.is_away = True
    one, other = windows.process(), windows.process()
    assert [admitted(one, client(5), 20), admitted(other, client(5), 20)] == [5, 5]
    assert windows.asked == 2
    windows.now += 1.0
    assert admitted(one, client(5), 20) == 5
    assert windows.asked == 2
    windows.is_away = False
    windows.now += PAUSE_SECONDS
    assert admitted(one, client(5), 20) + admitted(other, client(5), 20) == 5
    assert windows.asked > 2


def test_lost_windows_only_begin_anew() -> None:
    """A Redis that forgot everything lets a limit through again and never shuts anybody out."""
    windows = Windows()
    limiter = windows.process()
    assert admitted(limiter, client(20), 10) == 10
    windows._counts.clear()
    assert 10 <= admitted(limiter, client(20), 100) <= 20


def test_headers_count_down() -> None:
    """Policy and remaining calls, in the form of the draft."""
    limiter = Windows().process()
    said = [dict(limiter.admit(client(3)).headers()) for _ in range(4)]
    assert {headers["RateLimit-Policy"] for headers in said} == {'"default";q=3;w=1'}
    assert [headers["RateLimit"] for headers in said] == [f'"default";r={r};t=1' for r in (2, 1, 0, 0)]


def test_threads_share_a_process_permits() -> None:
    """No permit is given out twice."""
    limiter = Windows().process()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: admitted(limiter, client(1_000), 300), range(8)))
    assert sum(found) == 1_000
