"""The worker's own settings."""

from __future__ import annotations

import pytest

from services.counter_worker.settings import BATCH_MAX, load_settings
from shared.adapters.environment import SettingsError


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with everything that every service needs."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/needlecap")
    monkeypatch.setenv("REDIS_URL", "redis://redis/0")
    monkeypatch.setenv("NEEDLECAP_HASH_KEY", "00" * 32)
    monkeypatch.delenv("NEEDLECAP_WORKER_BATCH", raising=False)
    return monkeypatch


def test_batch_size_has_a_default_and_can_be_set(env: pytest.MonkeyPatch) -> None:
    """Operators may choose how many events a transaction applies."""
    assert load_settings().batch_max == BATCH_MAX
    env.setenv("NEEDLECAP_WORKER_BATCH", "250")
    assert load_settings().batch_max == 250


@pytest.mark.parametrize("value", ["0", "-1", "10001", "many"])
def test_batch_size_out_of_bounds_is_refused(env: pytest.MonkeyPatch, value: str) -> None:
    """A batch without a limit, or of nothing, is no setting."""
    env.setenv("NEEDLECAP_WORKER_BATCH", value)
    with pytest.raises(SettingsError, match="NEEDLECAP_WORKER_BATCH"):
        load_settings()
