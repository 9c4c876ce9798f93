"""Where commands that call the API find it, and with which keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.operator_cli.errors import DataDirError
from services.operator_cli.installation import Endpoints, Installation
from services.operator_cli.settings import load_settings
from shared.domain.client import ROLES

VARIABLES = ("NEEDLECAP_API_URL", *(f"NEEDLECAP_{role.upper()}_KEY" for role in ROLES))


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _served(data_dir: Path) -> None:
    installation = Installation(data_dir)
    installation.make_directories()
    installation.record_endpoints(Endpoints(api_url="http://dir", database_url="x", redis_url="x"))
    installation.record_credentials({"ehr": "key-of-dir", "admin": "admin-key-of-dir"})


def test_running_service_and_its_keys_are_found(tmp_path: Path) -> None:
    """Without anything in the environment the data directory says where the API is and with which keys."""
    _served(tmp_path / "data")
    settings = load_settings(tmp_path / "data")
    assert settings.api_url == "http://dir"
    assert settings.key("ehr") == "key-of-dir"


def test_environment_names_another_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address and keys in the environment win, each for itself."""
    _served(tmp_path / "data")
    monkeypatch.setenv("NEEDLECAP_API_URL", "https://env")
    monkeypatch.setenv("NEEDLECAP_EHR_KEY", "key-of-env")
    settings = load_settings(tmp_path / "data")
    assert settings.api_url == "https://env"
    assert settings.key("ehr") == "key-of-env"
    assert settings.key("admin") == "admin-key-of-dir"


def test_missing_key_says_which_variable_gives_it(tmp_path: Path) -> None:
    """Who has no key is told the ways to one."""
    settings = load_settings(tmp_path / "nothing")
    with pytest.raises(DataDirError, match=r"role portal.*NEEDLECAP_PORTAL_KEY"):
        settings.key("portal")
    with pytest.raises(DataDirError, match=r"NEEDLECAP_API_URL"):
        _ = settings.api_url
