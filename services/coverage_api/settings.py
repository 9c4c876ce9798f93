"""What the API reads from its environment, parsed once at the start and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from environs import Env, EnvError

from shared.adapters.environment import Environment, SettingsError, load_environment

#: More than the threads that serve (32): reading a newly activated catalog takes a second connection,
#: which must be there while every other thread holds one.
CONNECTIONS_MAX = 36
WAITERS_MAX = 12
LOADERS_MAX = 4
BACKLOG_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The API's configuration.

    `connections_max` bounds the Postgres connections of one process, `waiters_max` the requests that
    may wait for an outcome (`Prefer: wait`) at the same time, `loaders_max` the streams of events.
    No more events are taken while the oldest that could be applied has waited longer than
    `backlog_seconds_max`; 0 takes them always.
    With `metrics_dir` several processes add up their metrics there.
    """

    environment: Environment
    connections_max: int = CONNECTIONS_MAX
    waiters_max: int = WAITERS_MAX
    loaders_max: int = LOADERS_MAX
    backlog_seconds_max: int = BACKLOG_SECONDS_MAX
    single_body_bytes_max: int = 256 * 1024
    batch_body_bytes_max: int = 4 * 1024 * 1024
    worker_behind_seconds: int = 30
    metrics_dir: Path | None = None


def load_settings() -> Settings:
    """Parse the environment. Raises SettingsError naming the variable at fault, never its value."""
    env = Env()
    try:
        metrics_dir = env.str("PROMETHEUS_MULTIPROC_DIR", "")
        backlog_seconds_max = env.int("NEEDLECAP_BACKLOG_SECONDS_MAX", BACKLOG_SECONDS_MAX)
        if backlog_seconds_max < 0:
            raise SettingsError("NEEDLECAP_BACKLOG_SECONDS_MAX must not be negative; 0 switches it off.")
        return Settings(
            environment=load_environment(env),
            connections_max=env.int("NEEDLECAP_API_CONNECTIONS", CONNECTIONS_MAX),
            waiters_max=env.int("NEEDLECAP_API_WAITERS", WAITERS_MAX),
            backlog_seconds_max=backlog_seconds_max,
            metrics_dir=Path(metrics_dir) if metrics_dir else None,
        )
    except EnvError:
        raise SettingsError(
            "NEEDLECAP_API_CONNECTIONS, NEEDLECAP_API_WAITERS and NEEDLECAP_BACKLOG_SECONDS_MAX must be"
            " whole numbers."
        ) from None
