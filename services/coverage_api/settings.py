"""What the API reads from its environment, parsed once at the start and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from environs import Env, EnvError

from shared.adapters.environment import Environment, SettingsError, load_environment
from shared.adapters.jwks_urls import jwks_urls_allowed

#: Calls that are worked on at once; further ones, and those whose body is still to come, wait.
WORKING_MAX = 32
#: More than the calls at work: each of eight streams stores with two, and reading a newly activated catalog
#: takes a second one, which must be there while every other call holds one.
CONNECTIONS_MAX = 44
#: Bodies of one client that may be on their way at once: well below the threads that wait for them.
ARRIVING_MAX = 96
SENDER_SECONDS_MAX = 15

WAITERS_MAX = 12
LOADERS_MAX = 8
LOADERS_OF_A_CLIENT_MAX = 4
TOKEN_CALLERS_MAX = 8
BACKLOG_SECONDS_MAX = 60

#: Where callers reach the service, unless the environment says otherwise.
PUBLIC_URL = "http://127.0.0.1:8080"

_is_origin = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The API's configuration.

    `connections_max` bounds the Postgres connections of one process, `waiters_max` the requests that
    may wait for an outcome (`Prefer: wait`) at the same time, `loaders_max` the streams of events and
    `loaders_of_a_client_max` those of one client, `token_callers_max` those that ask for an access token,
    `working_max` the calls that are worked on, `arriving_max` the bodies of one client that are on their
    way. Whoever hardly sends for `sender_seconds_max` is cut off.
    No more events are taken while the oldest that could be applied has waited longer than
    `backlog_seconds_max`; 0 takes them always.
    Pages of `cors_origins` may call from browsers. With `metrics_dir` several processes add up their
    metrics there.
    `public_url` is where callers reach the service, without a slash at its end. Clients' public keys are
    fetched from `jwks_urls_allowed` alone (shared/adapters/jwks_urls.py says how they are read), and from
    hosts that are not on the public internet only if `jwks_private_allowed`.
    """

    environment: Environment
    connections_max: int = CONNECTIONS_MAX
    waiters_max: int = WAITERS_MAX
    loaders_max: int = LOADERS_MAX
    loaders_of_a_client_max: int = LOADERS_OF_A_CLIENT_MAX
    working_max: int = WORKING_MAX
    arriving_max: int = ARRIVING_MAX
    sender_seconds_max: int = SENDER_SECONDS_MAX
    token_callers_max: int = TOKEN_CALLERS_MAX
    backlog_seconds_max: int = BACKLOG_SECONDS_MAX
    single_body_bytes_max: int = 256 * 1024
    batch_body_bytes_max: int = 4 * 1024 * 1024
    worker_behind_seconds: int = 30
    metrics_dir: Path | None = None
    public_url: str = PUBLIC_URL
    jwks_urls_allowed: tuple[str, ...] = ()
    jwks_private_allowed: bool = False
    jwks_ca_file: Path | None = None
    cors_origins: tuple[str, ...] = ()


def load_settings() -> Settings:
    """Parse the environment. Raises SettingsError naming the variable at fault, never its value."""
    env = Env()
    try:
        metrics_dir = env.str("PROMETHEUS_MULTIPROC_DIR", "")
        backlog_seconds_max = env.int("NEEDLECAP_BACKLOG_SECONDS_MAX", BACKLOG_SECONDS_MAX)
        if backlog_seconds_max < 0:
            raise SettingsError("NEEDLECAP_BACKLOG_SECONDS_MAX must not be negative; 0 switches it off.")
        sender_seconds_max = env.int("NEEDLECAP_SENDER_SECONDS_MAX", SENDER_SECONDS_MAX)
        if sender_seconds_max < 1:
            raise SettingsError("NEEDLECAP_SENDER_SECONDS_MAX must be at least 1.")
        return Settings(
            environment=load_environment(env),
            connections_max=env.int("NEEDLECAP_API_CONNECTIONS", CONNECTIONS_MAX),
            waiters_max=env.int("NEEDLECAP_API_WAITERS", WAITERS_MAX),
            backlog_seconds_max=backlog_seconds_max,
            sender_seconds_max=sender_seconds_max,
            metrics_dir=Path(metrics_dir) if metrics_dir else None,
            public_url=_public_url(env),
            jwks_urls_allowed=jwks_urls_allowed(env),
            jwks_private_allowed=env.bool("NEEDLECAP_JWKS_PRIVATE_ALLOWED", default=False),
            jwks_ca_file=_ca_file(env),
            cors_origins=_origins(env.str("NEEDLECAP_CORS_ORIGINS", "")),
        )
    except EnvError:
        raise SettingsError(
            "NEEDLECAP_API_CONNECTIONS, NEEDLECAP_API_WAITERS, NEEDLECAP_BACKLOG_SECONDS_MAX and"
            " NEEDLECAP_SENDER_SECONDS_MAX must be whole numbers, and"
            " NEEDLECAP_JWKS_PRIVATE_ALLOWED true or false."
        ) from None


def _public_url(env: Env) -> str:
    url = env.str("NEEDLECAP_PUBLIC_URL", "") or PUBLIC_URL
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError("NEEDLECAP_PUBLIC_URL must be an address such as https://needlecap.example.org.")
    return url.rstrip("/")


def _ca_file(env: Env) -> Path | None:
    path = env.str("NEEDLECAP_JWKS_CA_FILE", "")
    if path and not Path(path).is_file():
        raise SettingsError("NEEDLECAP_JWKS_CA_FILE names a file that is not there.")
    return Path(path) if path else None


def _origins(text: str) -> tuple[str, ...]:
    """Origins separated by blanks or commas, each `https://host` or `https://host:port`; never `*`."""
    origins = tuple(text.replace(",", " ").split())
    if not all(_is_origin(origin) for origin in origins):
        raise SettingsError("NEEDLECAP_CORS_ORIGINS must be origins such as https://portal.example.org.")
    return origins
