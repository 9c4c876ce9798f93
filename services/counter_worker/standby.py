"""The worker's second thread: it sweeps when the broker is silent, and ends a process that is stuck.

Celery brings the work as long as Redis and beat are there. Postgres alone must be enough: with either
of them away, visit events are still applied and holds still expire, some seconds later than else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from services.counter_worker import log_events
from services.counter_worker.pulse import Pulse
from shared.adapters.logs import described

#: A few beats are missed before the thread steps in. Expiry must take effect within five seconds.
SILENT_SECONDS = 2.5
#: Between two of its sweeps, and between two looks.
STEP_SECONDS = 0.5
#: Tasks wait in the broker, nothing runs, and none has come for this long: Celery has gone deaf.
DEAF_SECONDS = 20.0
DEAF_LOOK_SECONDS = 5.0

#: Exit code for "start me anew" (EX_TEMPFAIL of sysexits.h).
EXIT_CODE = 75

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Standby:
    """Looks every half second whether it is needed.

    `work` does the periodic jobs and never raises. `waiting` counts the tasks that wait in the broker,
    None if it cannot be asked. `task_seconds_max` is how long a task may take. `leave` ends the process
    at once.
    """

    pulse: Pulse
    work: Callable[[], None]
    waiting: Callable[[], int | None]
    task_seconds_max: float
    leave: Callable[[int], None]
    monotonic: Callable[[], float]
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _standing_in: bool = field(default=False, init=False)
    _deaf_looked_at: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, name="standby", daemon=True)
        self._thread.start()

    def stop(self, limit_seconds: float = 5.0) -> None:
        """Stop watching, letting what it does come to its end within the limit."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(limit_seconds)

    def _run(self) -> None:
        while not self._stopped.wait(STEP_SECONDS):
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - the thread's outermost loop
                _log.error(log_events.JOB_FAILED, job="standby", **described(error))

    def step(self) -> None:
        """One look."""
        if self.pulse.seconds_running() > self.task_seconds_max:
            self._give_up("a task takes too long")
        elif self._is_deaf():
            self._give_up("tasks wait and none comes")
        silent = self.pulse.seconds_without_periodic() > SILENT_SECONDS
        if silent != self._standing_in:
            self._standing_in = silent
            _log.warning(log_events.STANDBY_BEGAN if silent else log_events.STANDBY_ENDED)
        if silent:
            self.work()

    def _is_deaf(self) -> bool:
        if self.pulse.seconds_without_task() < DEAF_SECONDS:
            return False
        if self.monotonic() - self._deaf_looked_at < DEAF_LOOK_SECONDS:
            return False
        self._deaf_looked_at = self.monotonic()
        return bool(self.waiting())

    def _give_up(self, why: str) -> None:
        _log.critical(log_events.GIVING_UP, why=why)
        self.leave(EXIT_CODE)
