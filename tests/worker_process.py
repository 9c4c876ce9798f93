"""The worker and beat as processes of their own, started by the command lines that operators use."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.counter_images import HASH_KEY

APP = "services.counter_worker.app:app"
STOP_SECONDS_MAX = 15


class CeleryProcess:
    """`celery worker` or `celery beat`, logging to a file."""

    def __init__(self, *command: str, database_url: str, redis_url: str, log: Path) -> None:
        """Start nothing yet."""
        self._argv = [sys.executable, "-m", "celery", "--quiet", "-A", APP, *command]
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
        }
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def start(self) -> None:
        """Start it, without waiting for anything."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._argv, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )

    def runs(self) -> bool:
        """Whether the process that was started is still there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it without asking."""
        assert self._process is not None, "it was not started"
        self._process.kill()
        self._process.wait(STOP_SECONDS_MAX)

    def stop(self) -> int:
        """Ask it to end, as a supervisor does; its exit code."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS_MAX)

    @contextlib.contextmanager
    def running(self) -> Iterator[CeleryProcess]:
        """It runs within the block, and not after it."""
        self.start()
        try:
            yield self
        except BaseException as error:
            error.add_note(f"The end of {self._log.name}:\n{self.log[-2_000:]}")
            raise
        finally:
            if self.runs():
                self.kill()
        # Whatever befell it, it never spoke of a person (I8).
        assert "SAMPLE" not in self.log


def worker(database_url: str, redis_url: str, directory: Path) -> CeleryProcess:
    """A worker, not started yet."""
    return CeleryProcess(
        *("worker", "--pool", "solo", "--without-gossip", "--without-mingle"),
        database_url=database_url,
        redis_url=redis_url,
        log=directory / "worker.log",
    )


def beat(database_url: str, redis_url: str, directory: Path) -> CeleryProcess:
    """A beat, not started yet."""
    return CeleryProcess(
        *("beat", "--schedule", str(directory / "schedule"), "--pidfile", ""),
        database_url=database_url,
        redis_url=redis_url,
        log=directory / "beat.log",
    )
