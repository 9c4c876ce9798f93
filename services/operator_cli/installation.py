"""The data directory of a local installation: its secrets, its ports and where its services answer.

Every file is written whole or not at all, and can be read by its owner alone (mode 0600).
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from services.operator_cli.errors import DataDirError


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What was drawn at random when the data directory was made, and never changes.

    `hash_key` is 32 bytes in hex; the passwords are those of the embedded servers.
    """

    installation_id: str
    hash_key: str = field(repr=False)
    database_password: str = field(repr=False)
    valkey_password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the running service's parts answer. The two server URLs hold passwords."""

    api_url: str
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The loopback ports of the embedded servers, kept so that a restarted server is found again."""

    postgres: int
    valkey: int


class Installation:
    """The files of one data directory. A runner makes them, other commands only read."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()

    @property
    def lock_path(self) -> Path:
        """Locked by the runner that uses the directory, for as long as it lives."""
        return self.data_dir / "runner.lock"

    @property
    def logs_dir(self) -> Path:
        """One log file for each process."""
        return self.data_dir / "logs"

    @property
    def postgres_dir(self) -> Path:
        """Holds the database cluster; only its owner can enter."""
        return self.data_dir / "postgres"

    @property
    def valkey_dir(self) -> Path:
        """Holds Valkey's append-only file and its configuration."""
        return self.data_dir / "valkey"

    @property
    def beat_dir(self) -> Path:
        """Holds the schedule file of Celery beat."""
        return self.data_dir / "beat"

    @property
    def credentials_path(self) -> Path:
        """The development clients' keys by role."""
        return self.data_dir / "dev-credentials.json"

    @property
    def hash_key_path(self) -> Path:
        """The hash key in hex, alone in a file, for processes that are told its path."""
        return self.data_dir / "hash-key"

    def make_directories(self) -> None:
        """Make the data directory and those in it, unless they are there already."""
        try:
            for directory in (
                self.data_dir,
                self.logs_dir,
                self.postgres_dir,
                self.valkey_dir,
                self.beat_dir,
            ):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            message = f"The data directory {self.data_dir} cannot be made: {error.strerror}."
            raise DataDirError(message) from error

    def ensure_secrets(self) -> Secrets:
        """Draw the secrets, unless they are there already. One process at a time may do this."""
        found = self.secrets()
        if found is None:
            found = Secrets(
                installation_id=secrets.token_hex(8),
                hash_key=secrets.token_hex(32),
                database_password=secrets.token_urlsafe(24),
                valkey_password=secrets.token_urlsafe(24),
            )
            write_private(self.hash_key_path, found.hash_key)
            write_private(self._path("secrets"), _to_json(asdict(found)))
        return found

    def secrets(self) -> Secrets | None:
        """The secrets, or None if no runner has used this directory yet."""
        values = self._read("secrets")
        return None if values is None else Secrets(**values)

    def endpoints(self) -> Endpoints | None:
        """Where the service answers, or answered last; None if no runner has used this directory yet."""
        values = self._read("service")
        return None if values is None else Endpoints(**values)

    def record_endpoints(self, endpoints: Endpoints) -> None:
        """Let every other command find the service that runs now."""
        write_private(self._path("service"), _to_json(asdict(endpoints)))

    def ports(self) -> Ports | None:
        """The ports that the embedded servers had last."""
        values = self._read("ports")
        return (
            None if values is None else Ports(postgres=int(values["postgres"]), valkey=int(values["valkey"]))
        )

    def record_ports(self, ports: Ports) -> None:
        """Keep the ports for the next start."""
        write_private(self._path("ports"), json.dumps(asdict(ports), indent=2) + "\n")

    def credentials(self) -> dict[str, str] | None:
        """The development clients' keys by role, or None before the first start."""
        return self._read("dev-credentials")

    def record_credentials(self, keys: Mapping[str, str]) -> None:
        """Keep the development clients' keys."""
        write_private(self.credentials_path, _to_json(keys))

    def is_done(self, step: str) -> bool:
        """Whether a step that is done once in the life of a data directory has been done."""
        return self._path(f"done-{step}").exists()

    def record_done(self, step: str) -> None:
        """Remember that a step that is done once has been done."""
        write_private(self._path(f"done-{step}"), "{}\n")

    def _path(self, name: str) -> Path:
        return self.data_dir / f"{name}.json"

    def _read(self, name: str) -> dict[str, str] | None:
        path = self._path(name)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataDirError(f"{path} cannot be read: {error}.") from error
        if not isinstance(values, dict):
            raise DataDirError(f"{path} does not hold a JSON object.")
        return values


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step with one that only its owner can read or write."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _to_json(values: Mapping[str, str]) -> str:
    return json.dumps(dict(values), indent=2) + "\n"
