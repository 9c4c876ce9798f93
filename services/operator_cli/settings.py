"""What the operator's commands read from the environment and the data directory, parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from environs import Env, EnvError

from services.operator_cli.errors import DataDirError, OperatorError
from services.operator_cli.installation import Installation
from shared.adapters.environment import (
    HASH_KEY_BYTES,
    SettingsError,
    broker_url_beside,
    failpoint_in,
    load_urls,
    parse_hash_key,
)
from shared.adapters.jwks_urls import jwks_urls_allowed
from shared.domain.client import ROLES
from shared.failpoints import Failpoint

DEFAULT_DATA_DIR = ".needlecap"

#: Six years, leap days included: as long as HIPAA has documentation kept (45 CFR 164.316(b)(2)(i)).
AUDIT_DAYS = 2_192
AUDIT_DAYS_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the environment says; None where it says nothing. `keys` are by role.

    URLs of servers and keys are secrets and stay out of the repr. `audit_days` is how long the audit trail
    is kept.
    """

    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    broker_url: str | None = field(repr=False)
    hash_key: bytes | None = field(repr=False)
    api_url: str | None = None
    audit_days: int = AUDIT_DAYS
    failpoint: Failpoint | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    jwks_urls_allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a command works with: the environment first, then what the data directory knows."""

    environment: Environment
    installation: Installation

    @property
    def database_url(self) -> str:
        """The URL of the database; DATABASE_URL wins over the data directory."""
        found = self.environment.database_url or self._endpoint("database_url")
        if found is None:
            raise self._nothing_known("database", "DATABASE_URL")
        return found

    @property
    def redis_url(self) -> str:
        """The URL of the counters' Redis; REDIS_URL wins over the data directory."""
        found = self.environment.redis_url or self._endpoint("redis_url")
        if found is None:
            raise self._nothing_known("Redis", "REDIS_URL")
        return found

    @property
    def broker_url(self) -> str:
        """The URL of the task broker: BROKER_URL, or database 1 of the counters' server."""
        return self.environment.broker_url or broker_url_beside(self.redis_url)

    @property
    def api_url(self) -> str:
        """The base URL of the running API; NEEDLECAP_API_URL wins over the data directory."""
        found = self.environment.api_url or self._endpoint("api_url")
        if found is None:
            raise self._nothing_known("API", "NEEDLECAP_API_URL")
        return found

    def key(self, role: str) -> str:
        """A key to call the API with in a role; NEEDLECAP_<ROLE>_KEY wins over the data directory."""
        found = self.environment.keys.get(role) or (self.installation.credentials() or {}).get(role)
        if found is None:
            raise self._nothing_known(f"key for the role {role}", _key_variable(role))
        return found

    @property
    def hash_key(self) -> bytes:
        """The installation's hash key, 32 bytes."""
        if self.environment.hash_key is not None:
            return self.environment.hash_key
        secrets = self.installation.secrets()
        if secrets is None:
            raise self._nothing_known("hash key", "NEEDLECAP_HASH_KEY or NEEDLECAP_HASH_KEY_FILE")
        return _hash_key_of(secrets.hash_key)

    def _endpoint(self, name: str) -> str | None:
        endpoints = self.installation.endpoints()
        return None if endpoints is None else str(getattr(endpoints, name))

    def _nothing_known(self, what: str, variable: str) -> DataDirError:
        return DataDirError(
            f"No {what} is known for the data directory {self.installation.data_dir}. "
            f"Start `needlecap run` on it, name another with --data-dir or set {variable}."
        )


def load_settings(data_dir: Path) -> Settings:
    """Parse the environment.

    Raises OperatorError if a value is malformed; the value itself is never shown, since it may be a
    secret.
    """
    env = Env()
    try:
        hash_key = env.str("NEEDLECAP_HASH_KEY", None) or _read_hash_key_file(
            env.path("NEEDLECAP_HASH_KEY_FILE", None)
        )
        urls = load_urls(env)
        environment = Environment(
            database_url=urls.database or None,
            redis_url=urls.redis or None,
            broker_url=urls.broker or None,
            hash_key=None if hash_key is None else _hash_key_of(hash_key),
            api_url=env.str("NEEDLECAP_API_URL", None) or None,
            audit_days=_audit_days(env),
            failpoint=failpoint_in(env),
            jwks_urls_allowed=jwks_urls_allowed(env),
            keys={role: key for role in ROLES if (key := env.str(_key_variable(role), None))},
        )
    except EnvError as error:
        raise OperatorError("The environment cannot be read.") from error
    except SettingsError as error:
        raise OperatorError(str(error)) from error
    return Settings(environment=environment, installation=Installation(data_dir))


def _audit_days(env: Env) -> int:
    text = env.str("NEEDLECAP_AUDIT_RETENTION_DAYS", "") or str(AUDIT_DAYS)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= AUDIT_DAYS_MAX):
        raise OperatorError("NEEDLECAP_AUDIT_RETENTION_DAYS must be a number of days, from 1 on.")
    return int(text)


def _key_variable(role: str) -> str:
    return f"NEEDLECAP_{role.upper()}_KEY"


def _read_hash_key_file(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"NEEDLECAP_HASH_KEY_FILE names {path}, which cannot be read.") from error


def _hash_key_of(text: str) -> bytes:
    key = parse_hash_key(text)
    if key is None:
        raise OperatorError(f"The hash key must be {HASH_KEY_BYTES} bytes in hex.")
    return key
