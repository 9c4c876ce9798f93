"""`needlecap run` in a session of its own, for tests that look at it from outside."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from services.operator_cli.runner.ports import LOOPBACK
from tests.waiting import wait_for

READY_SECONDS_MAX = 120.0
STOP_SECONDS_MAX = 60.0
NEEDLECAP = Path(sys.executable).with_name("needlecap")
#: What is in each child's command line and in no other child's.
CHILDREN = {
    "postgres": "/bin/postgres ",
    "valkey": "valkey-server",
    "api": " granian ",
    "worker": " worker ",
    "beat": " beat ",
}


class Running:
    """A `needlecap run` in a session of its own."""

    def __init__(self, data_dir: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.stdout_path = data_dir.with_suffix(".stdout")
        self.stderr_path = data_dir.with_suffix(".stderr")
        with self.stdout_path.open("wb") as stdout, self.stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                [NEEDLECAP, "run", "--data-dir", data_dir, *(arguments or ("--port", "0", "--empty"))],
                stdout=stdout,
                stderr=stderr,
                env=environment_without_servers() | (environment or {}),
                start_new_session=True,
            )

    @property
    def stdout(self) -> str:
        """All that the runner has printed to standard output."""
        return self.stdout_path.read_text()

    @property
    def stderr(self) -> str:
        """All that the runner has said."""
        return self.stderr_path.read_text()

    @property
    def port(self) -> int:
        """The port of the ready line, which has to be the only line."""
        found = re.fullmatch(rf"needlecap ready: http://{re.escape(LOOPBACK)}:(\d+)\n", self.stdout)
        assert found, self.stdout + self.stderr
        return int(found[1])

    def wait_ready(self) -> Running:
        """Wait for the ready line."""
        wait_for(lambda: self.stdout.endswith("\n") or self.process.poll() is not None, READY_SECONDS_MAX)
        assert self.process.poll() is None, self.stderr
        return self

    def answers(self) -> bool:
        """Whether the API calls itself ready."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def status_of(self, key: str) -> int:
        """What the API says to a key that asks for an event which is not there."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/v1/visit-events/none", headers={"Authorization": f"Bearer {key}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def needlecap(self, *arguments: str) -> str:
        """Another command on the same data directory; what it prints."""
        done = subprocess.run(
            [NEEDLECAP, *arguments, "--data-dir", self.data_dir],
            env=environment_without_servers(),
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def child(self, name: str) -> psutil.Process | None:
        """The running child of this name, if it runs."""
        for process in psutil.Process(self.process.pid).children():
            try:
                if CHILDREN[name] in " ".join(process.cmdline()):
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def descendants(self) -> list[psutil.Process]:
        """Every process that the runner, or one of its children, has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask the runner to stop; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS_MAX)

    @property
    def redis_url(self) -> str:
        """The Redis that the data directory gives to other commands."""
        return str(json.loads((self.data_dir / "service.json").read_text())["redis_url"])

    def database_url(self) -> str:
        """The URL that the data directory gives to other commands."""
        return str(json.loads((self.data_dir / "service.json").read_text())["database_url"])


def environment_without_servers() -> dict[str, str]:
    """This environment without what would replace a server or a secret."""
    replaced = ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "NEEDLECAP_HASH_KEY", "NEEDLECAP_DATA_DIR")
    return {name: value for name, value in os.environ.items() if name not in replaced}
