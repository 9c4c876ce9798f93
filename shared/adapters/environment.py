"""What every service reads from its environment: where the servers are, and the installation's key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from environs import Env, EnvError

from shared.failpoints import Failpoint, parse_failpoint

_Settings = TypeVar("_Settings")

HASH_KEY_BYTES = 32
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


class SettingsError(Exception):
    """The environment does not hold what the service needs."""


def settings_or_exit(load: Callable[[], _Settings]) -> _Settings:
    """What `load` reads. A fault ends the process with a line for its operator, without a traceback."""
    try:
        return load()
    except SettingsError as error:
        raise SystemExit(f"needlecap: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where the servers are. URLs and the hash key (32 bytes) are secrets and stay out of the repr."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    hash_key: bytes = field(repr=False)
    log_level: str
    failpoint: Failpoint | None = None


def load_environment(env: Env) -> Environment:
    """Parse what is common. Raises SettingsError naming the variable at fault, never its value."""
    try:
        urls = load_urls(env)
        redis_url = urls.redis or env.str("REDIS_URL")
        return Environment(
            database_url=urls.database or env.str("DATABASE_URL"),
            redis_url=redis_url,
            broker_url=urls.broker or broker_url_beside(redis_url),
            hash_key=_hash_key(env),
            log_level=_log_level(env),
            failpoint=failpoint_in(env),
        )
    except EnvError as error:
        # The library's message quotes the value, which may be a secret; one word names the variable.
        raise SettingsError(f"The environment cannot be read: {_variable_of(error)}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Where servers are said to be; empty where nothing is said. They hold passwords."""

    database: str = field(repr=False)
    redis: str = field(repr=False)
    broker: str = field(repr=False)


def load_urls(env: Env) -> Urls:
    """The URLs of the servers, each as it is or from the file that NAME_FILE names. Raises SettingsError."""
    return Urls(
        database=env.str("DATABASE_URL", "") or _in_file("DATABASE_URL", env.str("DATABASE_URL_FILE", "")),
        redis=env.str("REDIS_URL", "") or _in_file("REDIS_URL", env.str("REDIS_URL_FILE", "")),
        broker=env.str("BROKER_URL", "") or _in_file("BROKER_URL", env.str("BROKER_URL_FILE", "")),
    )


def _in_file(name: str, path: str) -> str:
    """The secret that a file holds; nothing if no file is named."""
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE names a file that cannot be read.") from error


def failpoint_in(env: Env) -> Failpoint | None:
    """Where this process is to die, for a test of crashes. Raises SettingsError."""
    try:
        return parse_failpoint(env.str("NEEDLECAP_FAILPOINT", ""))
    except ValueError:
        raise SettingsError("NEEDLECAP_FAILPOINT must name a step and an edge of failpoints.py.") from None


def parse_hash_key(text: str) -> bytes | None:
    """The hash key that `text` states in hex; None if that is not HASH_KEY_BYTES bytes."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if len(key) == HASH_KEY_BYTES else None


def broker_url_beside(redis_url: str) -> str:
    """The same server's database 1, where the task queues live apart from the counters."""
    return urlunsplit(urlsplit(redis_url)._replace(path="/1"))


def _variable_of(error: EnvError) -> str:
    words = str(error).replace('"', " ").split()
    return next((word for word in words if word.isupper()), "a variable is missing or malformed")


def _log_level(env: Env) -> str:
    level = env.str("NEEDLECAP_LOG_LEVEL", "info").lower()
    if level not in LOG_LEVELS:
        raise SettingsError(f"NEEDLECAP_LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}.")
    return level


def _hash_key(env: Env) -> bytes:
    path = env.str("NEEDLECAP_HASH_KEY_FILE", "")
    text = env.str("NEEDLECAP_HASH_KEY", "") or _in_file("NEEDLECAP_HASH_KEY", path)
    key = parse_hash_key(text)
    if key is None:
        raise SettingsError(
            f"NEEDLECAP_HASH_KEY (or the file NEEDLECAP_HASH_KEY_FILE) must be {HASH_KEY_BYTES} bytes in hex."
        )
    return key
