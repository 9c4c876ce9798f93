"""`needlecap clients`: keys are made once, shown once and stop working at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from services.operator_cli.clients import open_clients
from services.operator_cli.commands.clients import new_client_id
from services.operator_cli.errors import ServerError
from services.operator_cli.installation import Installation
from services.operator_cli.main import main
from services.operator_cli.runner.credentials import ensure_credentials
from services.operator_cli.runner.ports import choose
from shared.domain.client_key import key_digest, key_prefix

HASH_KEY = b"\x07" * 32


@pytest.fixture
def needlecap(database_url: str, tmp_path: Path) -> Callable[..., Result]:
    """Calls `needlecap` with the test's database."""

    def call(*arguments: str) -> Result:
        environment = {"DATABASE_URL": database_url, "NEEDLECAP_HASH_KEY": HASH_KEY.hex()}
        return CliRunner().invoke(main, [*arguments, "--data-dir", str(tmp_path)], env=environment)

    return call


def _stored(database_url: str, name: str) -> tuple[object, ...] | None:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "select role, payers, key_prefix, key_digest, expires_at, revoked_at from client where name = %s",
            [name],
        ).fetchone()


def test_created_key_is_alone_on_standard_output(needlecap: Callable[..., Result], database_url: str) -> None:
    """A script can take the key as it is; the database holds only its prefix and keyed digest."""
    result = needlecap("clients", "create", "--name", "clinic", "--role", "ehr", "--payer", "*")
    assert result.exit_code == 0, result.output
    key = result.stdout.removesuffix("\n")
    assert key_prefix(key) is not None
    stored = _stored(database_url, "clinic")
    assert stored == ("ehr", ["*"], key_prefix(key), key_digest(HASH_KEY, key), None, None)


def test_payers_are_granted_by_name(needlecap: Callable[..., Result], database_url: str) -> None:
    """Several payers can be named; one that is not known is refused and nothing is made."""
    with psycopg.connect(database_url) as connection:
        connection.execute("insert into payer (payer_id, name) values ('p-one', 'One'), ('p-two', 'Two')")
    create = ("clients", "create", "--role", "portal", "--name")
    assert needlecap(*create, "both", "--payer", "p-two", "--payer", "p-one").exit_code == 0
    stored = _stored(database_url, "both")
    assert stored is not None
    assert stored[1] == ["p-one", "p-two"]
    refused = needlecap(*create, "other", "--payer", "p-one", "--payer", "p-three")
    assert refused.exit_code == 1
    assert "There is no payer p-three" in refused.stderr
    assert _stored(database_url, "other") is None


def test_name_is_taken_once(needlecap: Callable[..., Result]) -> None:
    """A second client of the same name is refused, and no key is printed."""
    create = ("clients", "create", "--name", "clinic", "--role", "ehr", "--payer", "*")
    needlecap(*create)
    again = needlecap(*create)
    assert again.exit_code == 1
    assert again.stdout == ""
    assert "There is a client named clinic already" in again.stderr


@pytest.mark.parametrize("name", ["", " clinic", "a\nb", "x" * 101])
def test_unprintable_name_is_refused(needlecap: Callable[..., Result], name: str) -> None:
    """A name has to be something that a log and a list can show."""
    result = needlecap("clients", "create", "--name", name, "--role", "ehr", "--payer", "*")
    assert result.exit_code == 2


def test_expiry_is_kept(needlecap: Callable[..., Result], database_url: str) -> None:
    """A key can be given an end, as an instant in UTC."""
    create = ("clients", "create", "--name", "guest", "--role", "ehr", "--payer", "*")
    assert needlecap(*create, "--expires-at", "2030-01-31T00:00:00Z").exit_code == 0
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select expires_at = '2030-01-31T00:00:00Z'::timestamptz from client where name = 'guest'"
        ).fetchone()
    assert row == (True,)


def test_expiry_in_the_past_is_refused(needlecap: Callable[..., Result]) -> None:
    """A key that never works is a slip of the hand, and no client is made."""
    create = ("clients", "create", "--name", "guest", "--role", "ehr", "--payer", "*")
    refused = needlecap(*create, "--expires-at", "2020-01-31T00:00:00Z")
    assert refused.exit_code == 2
    assert "expired already" in refused.stderr
    assert "guest" not in needlecap("clients", "list").stdout


def test_revoked_client_is_listed_as_such(needlecap: Callable[..., Result], database_url: str) -> None:
    """Revoking is for good, can be repeated, and an unknown name is said."""
    needlecap("clients", "create", "--name", "clinic", "--role", "ehr", "--payer", "*")
    assert needlecap("clients", "revoke", "--name", "clinic").stdout == "revoked clinic\n"
    assert needlecap("clients", "revoke", "--name", "clinic").stdout == "clinic was revoked already\n"
    assert needlecap("clients", "revoke", "--name", "nobody").exit_code == 1
    stored = _stored(database_url, "clinic")
    assert stored is not None
    assert stored[-1] is not None
    listed = needlecap("clients", "list").stdout
    assert "clinic" in listed
    assert "revoked" in listed


def test_development_clients_keep_their_keys(database_url: str, tmp_path: Path) -> None:
    """A second start leaves keys as they are; a database that lost them is given the same ones again."""
    installation = Installation(tmp_path / "data")
    installation.make_directories()
    installation.ensure_secrets()

    def ensure() -> dict[str, str]:
        with open_clients(database_url, HASH_KEY, new_client_id) as store:
            ensure_credentials(installation, store, secrets.token_bytes)
        keys = installation.credentials()
        assert keys is not None
        return keys

    keys = ensure()
    assert set(keys) == {"ehr", "portal", "ops", "admin"}
    assert ensure() == keys
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from client")
    assert ensure() == keys
    stored = _stored(database_url, "dev-ops")
    assert stored is not None
    assert stored[:4] == ("ops", ["*"], key_prefix(keys["ops"]), key_digest(HASH_KEY, keys["ops"]))


def test_revoked_development_client_stays_revoked(database_url: str, tmp_path: Path) -> None:
    """What an operator closed, a restart does not open."""
    installation = Installation(tmp_path / "data")
    installation.make_directories()
    installation.ensure_secrets()
    with open_clients(database_url, HASH_KEY, new_client_id) as store:
        ensure_credentials(installation, store, secrets.token_bytes)
        store.revoke("dev-ehr")
        ensure_credentials(installation, store, secrets.token_bytes)
    stored = _stored(database_url, "dev-ehr")
    assert stored is not None
    assert stored[-1] is not None


def test_unreachable_database_is_said() -> None:
    """Without a database the command ends in a message."""
    url = f"postgresql://postgres:x@127.0.0.1:{choose(None)}/needlecap"
    with pytest.raises(ServerError) as refusal, open_clients(url, HASH_KEY, new_client_id):
        pass
    assert "cannot be reached" in refusal.value.message
    assert "127.0.0.1" in refusal.value.message
    assert "\n" not in refusal.value.message
    assert "postgres:x" not in refusal.value.message
