"""Keys of calling systems: several at once, ended by time or by hand, their last use noted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from services.coverage_api.bootstrap import build
from services.coverage_api.key_uses import KeyUses
from shared.domain.client import Client, CredentialRecord
from shared.domain.errors import StoreUnavailable
from tests.api_service import HASH_KEY, Api, settings_for
from tests.clients import add_key
from tests.waiting import LIMIT_SECONDS, wait_for

STATUS = "/v1/status"


@pytest.fixture
def second_api(bare_api: Api, redis_url: str) -> Iterator[Api]:
    """A second process's service on the same database."""
    service = build(settings_for(bare_api.installation.database_url, redis_url))
    yield Api(service, bare_api.installation)
    service.close()


def further_key(api: Api, name: str, **options: Any) -> str:
    """A second key of a client."""
    [(client_id,)] = api.installation.rows("select client_id from client where name = %s", name)
    with psycopg.connect(api.installation.database_url) as connection:
        return add_key(connection, client_id, HASH_KEY, **options)


def test_keys_of_one_client_open_the_same_until_each_ends(steady_api: Api) -> None:
    """While keys overlap both work; the expired one is 401 and the other is not touched."""
    first = steady_api.installation.key("ops", name="rotating")
    second = further_key(steady_api, "rotating", expires_at=datetime.now(UTC) + timedelta(hours=1))
    ended = further_key(steady_api, "rotating", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    answers = [steady_api.get(STATUS, key=key).status_code for key in (first, second, ended)]
    assert answers == [200, 200, 401]


def test_revoking_takes_effect_at_once_in_every_process(bare_api: Api, second_api: Api) -> None:
    """Both services have just served the key; after it is revoked neither does, while the other key works."""
    revoked = bare_api.installation.key("ops", name="two-keys")
    other = further_key(bare_api, "two-keys")
    for api in (bare_api, second_api):
        assert api.get(STATUS, key=revoked).status_code == 200
    revoke = "update credential set revoked_at = now() where prefix = %s"
    bare_api.installation.write(revoke, revoked.split("_")[1])
    for api in (bare_api, second_api):
        assert api.get(STATUS, key=revoked).status_code == 401
        assert api.get(STATUS, key=other).status_code == 200
    bare_api.installation.write("update client set revoked_at = now() where name = 'two-keys'")
    for api in (bare_api, second_api):
        assert api.get(STATUS, key=other).status_code == 401


def test_last_use_is_noted_once_a_minute(bare_api: Api) -> None:
    """The first use is noted a moment later, further ones only when a minute has passed."""
    key = bare_api.installation.key("ops", name="noted")
    prefix = key.split("_")[1]

    def last_used() -> datetime | None:
        rows = bare_api.installation.rows("select last_used_at from credential where prefix = %s", prefix)
        moment: datetime | None = rows[0][0]
        return moment

    assert bare_api.get(STATUS, key=key).status_code == 200
    wait_for(lambda: last_used() is not None)
    first = last_used()
    bare_api.get(STATUS, key=key)
    old = datetime.now(UTC) - timedelta(minutes=5)
    bare_api.installation.write("update credential set last_used_at = %s where prefix = %s", old, prefix)
    bare_api.get(STATUS, key=key)
    wait_for(lambda: last_used() != old)
    second = last_used()
    assert first is not None
    assert second is not None
    assert first < second


class BrokenStore:
    """A store that fails as often as it is told, then lets through."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0
        self.noted: list[dict[str, datetime]] = []

    def transaction(self, _payers: object, *, seconds: float | None = None, ahead: object = None) -> Any:
        """A transaction, or StoreUnavailable."""
        self.asked += 1
        if self.asked <= self.failures:
            raise StoreUnavailable
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    @property
    def clients(self) -> Any:
        """Where uses are noted."""
        return self

    def note_uses(self, uses: dict[str, datetime]) -> None:
        """Keep what was noted."""
        self.noted.append(uses)

    def commit(self) -> None:
        """Nothing to keep."""


def record(prefix: str, last_used_at: datetime | None = None) -> CredentialRecord:
    """A key that opens something."""
    return CredentialRecord(
        client=Client(client_id="c", name="c", role="ops", payers=("*",)),
        prefix=prefix,
        kind="key",
        digest=b"",
        expires_at=None,
        revoked_at=None,
        last_used_at=last_used_at,
    )


def test_uses_wait_until_they_can_be_written() -> None:
    """A store that is away fails nobody; uses of many calls go together into one write."""
    now = datetime.now(UTC)
    store = BrokenStore(failures=2)
    uses = KeyUses(store, gather_seconds=0.05)
    for _ in range(100):
        uses.note(record("a"), now)
    uses.note(record("b", last_used_at=now - timedelta(seconds=61)), now)
    uses.note(record("c", last_used_at=now - timedelta(seconds=59)), now)
    wait_for(lambda: store.noted)
    uses.close()
    assert store.noted == [{"a": now, "b": now}]
    assert store.asked == 3


@pytest.mark.parametrize(("failures", "noted"), [(0, ["a"]), (1, [])])
def test_uses_that_wait_are_written_at_the_end(failures: int, noted: list[str]) -> None:
    """Once: whoever stops the service does not wait for a store that is away."""
    store = BrokenStore(failures)
    uses = KeyUses(store, gather_seconds=LIMIT_SECONDS)
    uses.note(record("a"), datetime.now(UTC))
    uses.close()
    assert [prefix for written in store.noted for prefix in written] == noted
    assert store.asked == 1
