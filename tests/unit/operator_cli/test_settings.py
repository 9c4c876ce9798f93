"""What commands read from the environment and the data directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.operator_cli.errors import DataDirError, OperatorError
from services.operator_cli.installation import Endpoints, Installation
from services.operator_cli.settings import load_settings
from shared.adapters.environment import broker_url_beside

VARIABLES = ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "NEEDLECAP_HASH_KEY", "NEEDLECAP_HASH_KEY_FILE")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _served(data_dir: Path) -> Installation:
    installation = Installation(data_dir)
    installation.make_directories()
    installation.ensure_secrets()
    installation.record_endpoints(
        Endpoints(api_url="http://a", database_url="postgresql://dir", redis_url="redis://dir/0")
    )
    return installation


def test_running_service_is_found_by_its_data_directory(tmp_path: Path) -> None:
    """Without anything in the environment, the data directory names the parts and the hash key."""
    installation = _served(tmp_path / "data")
    secrets = installation.secrets()
    settings = load_settings(tmp_path / "data")
    assert settings.database_url == "postgresql://dir"
    assert settings.redis_url == "redis://dir/0"
    assert settings.broker_url == "redis://dir/1"
    assert settings.api_url == "http://a"
    assert secrets is not None
    assert settings.hash_key == bytes.fromhex(secrets.hash_key)


def test_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment names is used, whatever the data directory says."""
    _served(tmp_path / "data")
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://env")
    monkeypatch.setenv("REDIS_URL", "rediss://env:6380/0")
    monkeypatch.setenv("NEEDLECAP_HASH_KEY_FILE", str(tmp_path / "key"))
    settings = load_settings(tmp_path / "data")
    assert settings.database_url == "postgresql://env"
    assert settings.broker_url == "rediss://env:6380/1"
    assert settings.hash_key == b"\xab" * 32


def test_unknown_directory_says_what_to_do(tmp_path: Path) -> None:
    """A command on a directory that no runner has used names the ways out."""
    settings = load_settings(tmp_path / "nothing")
    with pytest.raises(DataDirError, match=r"needlecap run.*--data-dir.*DATABASE_URL"):
        _ = settings.database_url
    with pytest.raises(DataDirError, match="NEEDLECAP_HASH_KEY"):
        _ = settings.hash_key


@pytest.mark.parametrize("key", ["secret-but-not-hex", "abcd"])
def test_malformed_hash_key_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """A hash key of the wrong form stops the command, and does not appear in the message."""
    monkeypatch.setenv("NEEDLECAP_HASH_KEY", key)
    with pytest.raises(OperatorError) as refusal:
        load_settings(tmp_path)
    assert key not in refusal.value.message


def test_broker_keeps_the_servers_options() -> None:
    """Only the number of the database differs between counters and queues."""
    assert broker_url_beside("rediss://:pw@host:1/0?ssl_cert_reqs=required") == (
        "rediss://:pw@host:1/1?ssl_cert_reqs=required"
    )
