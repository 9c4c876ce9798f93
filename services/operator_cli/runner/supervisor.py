"""Starts the children in order, notices when one ends, starts it again, and stops them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, NoReturn

from services.operator_cli.errors import ChildFailedError
from services.operator_cli.runner.child import Child, ChildSpec, log_tail, trim_log
from services.operator_cli.runner.wakeups import Wakeups

RESTART_SECONDS_MIN = 0.25
RESTART_SECONDS_MAX = 30.0
SETTLED_SECONDS = 60.0
LOOK_SECONDS = 0.1
IDLE_SECONDS = 5.0
STARTUP_FAILURES_MAX = 4
KILL_SECONDS = 5.0


class StopRequested(Exception):
    """Someone asked the runner to stop while it was waiting for something else."""


@dataclass(slots=True, kw_only=True)
class _Post:
    """A child's place: who holds it now, and when a successor may start."""

    spec: ChildSpec
    child: Child | None = None
    failures: int = 0
    restart_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Keeps children alive. Single-threaded: something happens only inside its methods.

    `say` tells the operator; `monotonic` is a clock in seconds that never goes back. Children die
    with the thread that started them, so one thread must make every call.
    """

    wakeups: Wakeups
    say: Callable[[str], None]
    monotonic: Callable[[], float]
    _posts: dict[str, _Post] = field(default_factory=dict, init=False)
    _stop_requests: int = field(default=0, init=False)

    def start(self, spec: ChildSpec) -> None:
        """Start a child and keep it alive from now on."""
        assert spec.name not in self._posts, "one post for each name"
        post = _Post(spec=spec)
        self._posts[spec.name] = post
        self._fill(post)

    def pid(self, name: str) -> int | None:
        """The process id of a child, or None while it is down."""
        child = self._posts[name].child
        return None if child is None else child.pid

    def await_answers(self, names: Sequence[str], limit_seconds: float) -> None:
        """Wait until each named child answers.

        Raises ChildFailedError, with the end of its log, if one does not within the limit or keeps
        ending; StopRequested if someone asks to stop meanwhile.
        """
        deadline = self.monotonic() + limit_seconds
        waiting = list(names)
        while waiting:
            post = self._posts[waiting[0]]
            if post.failures >= STARTUP_FAILURES_MAX:
                _fail(post, "keeps ending")
            if post.child is not None and post.spec.answers():
                waiting.pop(0)
                continue
            if self.monotonic() > deadline:
                _fail(post, f"did not answer within {limit_seconds:.0f} seconds")
            self.check_stop(LOOK_SECONDS)

    def check_stop(self, seconds: float = 0.0) -> None:
        """Look after the children for up to `seconds`; raise StopRequested if someone asks to stop."""
        self._stop_requests += self.wakeups.wait(seconds)
        self._restart_ended()
        if self._stop_requests:
            raise StopRequested

    def run_job(self, spec: ChildSpec, limit_seconds: float, output: IO[bytes] | None = None) -> int | None:
        """Run a process to its end beside the children; its exit code, or None if the limit cut it off.

        It prints to `output`, or to its log.
        """
        child = Child(spec, self.monotonic(), output)
        deadline = child.started_at + limit_seconds
        try:
            while child.exit_code() is None and self.monotonic() < deadline:
                self.check_stop(LOOK_SECONDS)
            return child.exit_code()
        finally:
            self._end([child])

    def run_until_stopped(self) -> None:
        """Keep the children alive, and their logs from growing, until someone asks to stop."""
        try:
            while True:
                self.check_stop(self._seconds_to_next_restart())
                for post in self._posts.values():
                    trim_log(post.spec.log_path)
        except StopRequested:
            return

    def stop_all(self) -> None:
        """Stop every child, the last started first; asked again meanwhile, stop all at once."""
        self._stop_requests = 0
        posts = list(reversed(self._posts.values()))
        for post in posts:
            if post.child is not None and not self._stop_requests:
                self._end([post.child])
        self._end([post.child for post in posts if post.child is not None], hurry=True)
        self._posts.clear()

    def _fill(self, post: _Post) -> None:
        post.child = Child(post.spec, self.monotonic())

    def _restart_ended(self) -> None:
        now = self.monotonic()
        for post in self._posts.values():
            if post.child is not None:
                self._note_end(post, post.child, now)
            if post.child is None and now >= post.restart_at:
                self._fill(post)

    def _note_end(self, post: _Post, child: Child, now: float) -> None:
        code = child.exit_code()
        if code is None:
            return
        if now - child.started_at > SETTLED_SECONDS:
            post.failures = 0
        delay = min(RESTART_SECONDS_MIN * 2**post.failures, RESTART_SECONDS_MAX)
        post.failures += 1
        post.child = None
        post.restart_at = now + delay
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        self.say(f"{post.spec.name} {how}; starting it again in {delay:g} s (log: {post.spec.log_path})")

    def _seconds_to_next_restart(self) -> float:
        due = [post.restart_at - self.monotonic() for post in self._posts.values() if post.child is None]
        return max(0.0, min(due, default=IDLE_SECONDS))

    def _end(self, children: Sequence[Child], *, hurry: bool = False) -> None:
        """Stop children together: by asking, then at once when asked again, then by force."""
        alive = [child for child in children if child.exit_code() is None]
        for child in alive:
            if hurry:
                child.hurry()
            else:
                child.ask_to_stop()
        patience = 0.0 if hurry else max((child.spec.stop_seconds for child in alive), default=0)
        self._await_ends(alive, patience, until_asked=True)
        for child in alive:
            child.hurry()
        self._await_ends(alive, KILL_SECONDS, until_asked=False)
        for child in alive:
            child.kill()
        self._await_ends(alive, KILL_SECONDS, until_asked=False)

    def _await_ends(self, children: list[Child], seconds: float, *, until_asked: bool) -> None:
        """Wait for children to end, dropping those that have from the list."""
        deadline = self.monotonic() + seconds
        for look in itertools.count():
            children[:] = [child for child in children if child.exit_code() is None]
            asked = until_asked and self._stop_requests > 0
            if not children or asked or (look and self.monotonic() >= deadline):
                return
            self._stop_requests += self.wakeups.wait(min(LOOK_SECONDS, max(0.0, seconds)))


def _fail(post: _Post, what: str) -> NoReturn:
    tail = log_tail(post.spec.log_path)
    raise ChildFailedError(f"{post.spec.name} {what}. The end of {post.spec.log_path}:\n{tail}")
