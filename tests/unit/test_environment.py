"""What services read from their environment, and how they say what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from environs import Env

from shared.adapters.environment import SettingsError, load_environment, settings_or_exit

KEY = "ab" * 32
SECRET = "s3cret-value"
GOOD = {
    "DATABASE_URL": f"postgresql://needlecap:{SECRET}@db/needlecap",
    "REDIS_URL": f"redis://:{SECRET}@redis:6379/0",
    "NEEDLECAP_HASH_KEY": KEY,
}


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that holds what is needed and nothing else of ours."""
    for name in ("BROKER_URL", "NEEDLECAP_HASH_KEY_FILE", "NEEDLECAP_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_broker_lies_beside_the_counters_unless_named(env: pytest.MonkeyPatch) -> None:
    """The queues are in database 1 of the counters' server, or where BROKER_URL says."""
    assert load_environment(Env()).broker_url == f"redis://:{SECRET}@redis:6379/1"
    env.setenv("BROKER_URL", "amqp://broker//")
    assert load_environment(Env()).broker_url == "amqp://broker//"


def test_hash_key_may_come_from_a_file(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret that is mounted as a file is read from there."""
    env.delenv("NEEDLECAP_HASH_KEY")
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n", encoding="ascii")
    env.setenv("NEEDLECAP_HASH_KEY_FILE", str(path))
    assert load_environment(Env()).hash_key == bytes.fromhex(KEY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", None),
        ("REDIS_URL", None),
        ("NEEDLECAP_HASH_KEY", None),
        ("NEEDLECAP_HASH_KEY", SECRET),
        ("NEEDLECAP_HASH_KEY", "ab"),
        ("NEEDLECAP_LOG_LEVEL", SECRET),
    ],
)
def test_fault_is_named_without_any_value(env: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    """The message says which variable is at fault, and shows nobody's secret."""
    if value is None:
        env.delenv(name)
    else:
        env.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_environment(Env())
    assert name in str(raised.value)
    assert SECRET not in str(raised.value)


def test_secrets_are_not_in_the_repr(env: pytest.MonkeyPatch) -> None:
    """Settings that land in a log give nothing away."""
    shown = repr(load_environment(Env()))
    assert SECRET not in shown
    assert KEY not in shown


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "BROKER_URL"])
def test_urls_may_come_from_files(env: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """They hold passwords. What stands in the environment itself wins; a file that is not there is said."""
    path = tmp_path / "url"
    env.setenv(f"{name}_FILE", str(path))
    env.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=f"{name}_FILE"):
        load_environment(Env())
    path.write_text("scheme://from-a-file\n", encoding="utf-8")
    assert getattr(load_environment(Env()), name.lower()) == "scheme://from-a-file"
    env.setenv(name, "scheme://given")
    assert getattr(load_environment(Env()), name.lower()) == "scheme://given"


def test_service_with_a_bad_setting_ends_with_one_line(env: pytest.MonkeyPatch) -> None:
    """An operator reads what to put right; a good environment is handed on."""
    assert settings_or_exit(lambda: load_environment(Env())).hash_key == bytes.fromhex(KEY)
    env.setenv("NEEDLECAP_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit, match=r"^needlecap: NEEDLECAP_LOG_LEVEL must be one of debug, "):
        settings_or_exit(lambda: load_environment(Env()))
