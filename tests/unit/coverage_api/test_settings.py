"""What the API reads from its environment."""

from __future__ import annotations

import pytest

from services.coverage_api.settings import load_settings
from shared.adapters.environment import SettingsError
from tests.api_service import HASH_KEY


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that holds what is needed."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/needlecap")
    monkeypatch.setenv("REDIS_URL", "redis://redis:6379/0")
    monkeypatch.setenv("NEEDLECAP_HASH_KEY", HASH_KEY.hex())
    return monkeypatch


def test_no_page_may_call_unless_its_origin_is_named(env: pytest.MonkeyPatch) -> None:
    """Origins stand in one variable, separated by blanks or commas."""
    assert load_settings().cors_origins == ()
    env.setenv("NEEDLECAP_CORS_ORIGINS", "https://a.example, http://localhost:3000")
    assert load_settings().cors_origins == ("https://a.example", "http://localhost:3000")


@pytest.mark.parametrize("origins", ["*", "https://a.example/", "a.example", "https://*.example", "null"])
def test_what_is_no_origin_is_refused(env: pytest.MonkeyPatch, origins: str) -> None:
    """A pattern, a path or a bare name would let in more, or fewer, than was meant."""
    env.setenv("NEEDLECAP_CORS_ORIGINS", origins)
    with pytest.raises(SettingsError, match="NEEDLECAP_CORS_ORIGINS"):
        load_settings()
