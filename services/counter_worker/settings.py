"""What the worker and its schedule read from their environment, parsed once and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from environs import Env, EnvError

from shared.adapters.environment import Environment, SettingsError, load_environment

#: Six drains, a sweep's guard and the standby each hold a connection, and some are to spare.
CONNECTIONS_MAX = 10
#: Of those that are always open: one for each thread that drains a backlog, and one for what goes on beside.
CONNECTIONS_KEPT = 7
#: Events of one batch, which share what it costs whatever it holds; more bought nothing
#: (`deploy/benchmarks/NOTES.md`).
BATCH_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The worker's configuration.

    `batch_max` bounds the events that are applied in one transaction, `connections_max` the Postgres
    connections of one process.
    """

    environment: Environment
    batch_max: int = BATCH_MAX
    connections_max: int = CONNECTIONS_MAX


def load_settings() -> Settings:
    """Parse the environment. Raises SettingsError naming the variable at fault, never its value."""
    env = Env()
    environment = load_environment(env)
    try:
        batch_max = env.int("NEEDLECAP_WORKER_BATCH", BATCH_MAX)
    except EnvError:
        raise SettingsError("NEEDLECAP_WORKER_BATCH must be a whole number.") from None
    if not 1 <= batch_max <= 10_000:
        raise SettingsError("NEEDLECAP_WORKER_BATCH must lie between 1 and 10000.")
    return Settings(environment=environment, batch_max=batch_max)
