"""When no more events are taken in, and how often the inbox is looked at for that."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from services.coverage_api.backlog import Backlog
from services.coverage_api.errors import Backlogged, problem, retry_after
from services.coverage_api.settings import BACKLOG_SECONDS_MAX, load_settings
from shared.adapters.environment import SettingsError
from shared.domain.errors import StoreUnavailable
from tests.builders import NOW


class Inbox:
    """An inbox whose oldest event has waited as many seconds as a test says; None: nothing waits."""

    def __init__(self, waited: float | None) -> None:
        self.waited = waited
        self.looks = 0
        self.is_away = False
        self.seconds = 0.0

    def oldest(self, now: datetime) -> datetime | None:
        """When the oldest event came; StoreUnavailable while `is_away`."""
        self.looks += 1
        if self.is_away:
            raise StoreUnavailable
        return None if self.waited is None else now - timedelta(seconds=self.waited)

    def backlog(self, seconds_max: int = 60) -> Backlog:
        """Of an API whose clocks stand still but for `seconds`."""
        return Backlog(
            self.oldest,
            lambda: NOW + timedelta(seconds=self.seconds),
            lambda: self.seconds,
            seconds_max=seconds_max,
        )


def is_full(backlog: Backlog) -> bool:
    """Whether an event would be refused now."""
    try:
        backlog.require_room()
    except Backlogged:
        return True
    return False


@pytest.mark.parametrize("waited", [60.5, 61, 86_400])
def test_event_is_refused_once_the_oldest_has_waited_too_long(waited: float) -> None:
    """However long it is by then."""
    assert is_full(Inbox(waited).backlog())


@pytest.mark.parametrize("waited", [None, 0, 60])
def test_event_is_taken_in_while_nothing_waits_too_long(waited: float | None) -> None:
    """The bound itself is still good."""
    assert not is_full(Inbox(waited).backlog())


def test_zero_switches_it_off() -> None:
    """Nothing is refused, and nothing is looked at."""
    inbox = Inbox(10_000)
    assert not is_full(inbox.backlog(seconds_max=0))
    assert inbox.looks == 0


def test_inbox_is_looked_at_once_a_second() -> None:
    """In between, refused or not, every call goes by what was seen."""
    inbox = Inbox(61)
    backlog = inbox.backlog()
    assert [is_full(backlog) for _ in range(50)] == [True] * 50
    inbox.waited = None
    inbox.seconds = 0.9
    assert is_full(backlog)
    assert inbox.looks == 1
    inbox.seconds = 1.0
    assert not is_full(backlog)
    inbox.waited = 61
    assert not is_full(backlog)
    assert inbox.looks == 2


def test_not_knowing_refuses_nothing() -> None:
    """While Postgres cannot say, accepting is left to say so itself, and is not asked for each call."""
    inbox = Inbox(61)
    backlog = inbox.backlog()
    assert is_full(backlog)
    inbox.is_away = True
    inbox.seconds = 1.0
    assert [is_full(backlog) for _ in range(5)] == [False] * 5
    assert inbox.looks == 2


def test_nobody_waits_for_the_look_of_another() -> None:
    """Calls that come while one looks are answered by the look before."""
    inbox = Inbox(61)
    looking, go_on = threading.Event(), threading.Event()

    def slow(now: datetime) -> datetime | None:
        looking.set()
        assert go_on.wait(30)
        return inbox.oldest(now)

    backlog = Backlog(slow, lambda: NOW, lambda: inbox.seconds, seconds_max=60)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(is_full, backlog)
        assert looking.wait(30)
        assert not is_full(backlog)
        go_on.set()
        assert first.result(30)
    assert is_full(backlog)


def test_refusal_says_when_to_come_back() -> None:
    """429 `backlog` with Retry-After."""
    with pytest.raises(Backlogged) as refusal:
        Inbox(61).backlog().require_room()
    document = problem(refusal.value, "r1")
    assert (document["status"], document["type"]) == (429, "/problems/backlog")
    assert (retry_after(refusal.value) or 0) > 0


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What an API needs in its environment."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
    monkeypatch.setenv("REDIS_URL", "redis://localhost:6379/0")
    monkeypatch.setenv("NEEDLECAP_HASH_KEY", "00" * 32)
    monkeypatch.delenv("NEEDLECAP_BACKLOG_SECONDS_MAX", raising=False)
    return monkeypatch


def test_bound_comes_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    """A minute unless said otherwise."""
    assert load_settings().backlog_seconds_max == BACKLOG_SECONDS_MAX
    environment.setenv("NEEDLECAP_BACKLOG_SECONDS_MAX", "0")
    assert load_settings().backlog_seconds_max == 0


@pytest.mark.parametrize("value", ["-1", "soon", "1.5"])
def test_bound_that_makes_no_sense_is_named(environment: pytest.MonkeyPatch, value: str) -> None:
    """The variable is named, its value is not."""
    environment.setenv("NEEDLECAP_BACKLOG_SECONDS_MAX", value)
    with pytest.raises(SettingsError, match="NEEDLECAP_BACKLOG_SECONDS_MAX") as fault:
        load_settings()
    assert value not in str(fault.value).replace("NEEDLECAP_BACKLOG_SECONDS_MAX", "")
