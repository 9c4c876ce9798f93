"""The data directory's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.operator_cli.errors import DataDirError
from services.operator_cli.installation import Endpoints, Installation, Ports

ENDPOINTS = Endpoints(api_url="http://x", database_url="postgresql://x", redis_url="redis://x")


def _made(data_dir: Path) -> Installation:
    installation = Installation(data_dir)
    installation.make_directories()
    return installation


def test_secrets_are_drawn_once(tmp_path: Path) -> None:
    """A second start finds the secrets of the first; another directory has its own."""
    first = _made(tmp_path / "a").ensure_secrets()
    assert Installation(tmp_path / "a").ensure_secrets() == first
    assert _made(tmp_path / "b").ensure_secrets() != first


def test_every_file_is_the_owners_alone(tmp_path: Path) -> None:
    """No other account can read a secret, whatever the file mode mask says."""
    installation = _made(tmp_path / "data")
    installation.ensure_secrets()
    installation.record_endpoints(ENDPOINTS)
    installation.record_ports(Ports(postgres=1, valkey=2))
    installation.record_credentials({"ehr": "key"})
    files = [path for path in installation.data_dir.rglob("*") if path.is_file()]
    assert len(files) == 5
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    directories = [
        installation.data_dir,
        *(path for path in installation.data_dir.rglob("*") if path.is_dir()),
    ]
    assert {path.stat().st_mode & 0o777 for path in directories} == {0o700}


def test_what_was_recorded_is_found(tmp_path: Path) -> None:
    """Endpoints, ports, credentials and finished steps are read back by another process."""
    installation = _made(tmp_path / "data")
    assert installation.endpoints() is None
    assert not installation.is_done("samples")
    installation.record_endpoints(ENDPOINTS)
    installation.record_ports(Ports(postgres=20_001, valkey=20_002))
    installation.record_credentials({"ehr": "key"})
    installation.record_done("samples")
    other = Installation(tmp_path / "data")
    assert other.endpoints() == ENDPOINTS
    assert other.ports() == Ports(postgres=20_001, valkey=20_002)
    assert other.credentials() == {"ehr": "key"}
    assert other.is_done("samples")


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_broken_file_is_refused(tmp_path: Path, content: str) -> None:
    """A file that is not what was written is refused by name, not guessed at."""
    installation = _made(tmp_path / "data")
    (installation.data_dir / "ports.json").write_text(content)
    with pytest.raises(DataDirError, match=r"ports\.json"):
        installation.ports()


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file where the directory should be is said, with the path."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataDirError, match="taken"):
        _made(tmp_path / "taken")
