"""`needlecap clients`: keys are made once, shown once and stop working at once."""

from __future__ import annotations

import json
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
from tests.signing import jwk_set, signing_key

HASH_KEY = b"\x07" * 32


@pytest.fixture
def needlecap(database_url: str, tmp_path: Path) -> Callable[..., Result]:
    """Calls `needlecap` with the test's database."""

    def call(*arguments: str, **more: str) -> Result:
        environment = {"DATABASE_URL": database_url, "NEEDLECAP_HASH_KEY": HASH_KEY.hex()} | more
        return CliRunner().invoke(main, [*arguments, "--data-dir", str(tmp_path)], env=environment)

    return call


def _stored(database_url: str, name: str) -> tuple[object, ...] | None:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "select role, k.payers, prefix, digest, expires_at, k.revoked_at"
            " from client k left join credential using (client_id) where name = %s",
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
            "select expires_at = '2030-01-31T00:00:00Z'::timestamptz from credential join client"
            " using (client_id) where name = 'guest'"
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


def test_list_that_a_script_reads_is_not_cut(needlecap: Callable[..., Result]) -> None:
    """A long name stands in full where no terminal says how wide it is."""
    name = "clinic-" + "x" * 60
    _create(needlecap, name)
    assert name in needlecap("clients", "list").stdout


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


def _keys(database_url: str, name: str) -> list[tuple[object, ...]]:
    """(prefix, seconds until it ends, whether revoked) of a client's keys, the oldest first."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "select prefix, round(extract(epoch from expires_at - now()))::int, c.revoked_at is not null"
            " from credential c join client using (client_id) where name = %s order by c.created_at",
            [name],
        ).fetchall()


def _create(needlecap: Callable[..., Result], name: str = "clinic", *more: str) -> str:
    made = needlecap("clients", "create", "--name", name, "--role", "ehr", "--payer", "*", *more)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


def test_rotation_gives_a_new_key_and_ends_the_old_one_later(
    needlecap: Callable[..., Result], database_url: str
) -> None:
    """The new key is alone on standard output; the old one ends after seven days unless told otherwise."""
    old = _create(needlecap)
    rotated = needlecap("clients", "rotate", "--name", "clinic")
    assert rotated.exit_code == 0, rotated.output
    new = rotated.stdout.removesuffix("\n")
    (first, seconds, _), (second, forever, _) = _keys(database_url, "clinic")
    assert (first, second) == (key_prefix(old), key_prefix(new))
    assert isinstance(seconds, int)
    assert abs(seconds - 7 * 24 * 3600) < 60
    assert forever is None


def test_overlap_never_lengthens_a_key(needlecap: Callable[..., Result], database_url: str) -> None:
    """A key that ends before the overlap does keeps its end, and one of no overlap ends at once."""
    _create(needlecap)
    for overlap in ("30m", "12h", "0"):
        rotated = needlecap("clients", "rotate", "--name", "clinic", "--overlap", overlap)
        assert rotated.exit_code == 0, rotated.output
    ends = [seconds for _, seconds, _ in _keys(database_url, "clinic")]
    assert ends[-1] is None
    assert all(isinstance(seconds, int) and seconds <= 0 for seconds in ends[:-1])


@pytest.mark.parametrize("overlap", ["7", "-1d", "7w", "91d", ""])
def test_overlap_that_cannot_be_is_refused(needlecap: Callable[..., Result], overlap: str) -> None:
    """Without a unit, negative or longer than a quarter: nothing is rotated."""
    _create(needlecap)
    assert needlecap("clients", "rotate", "--name", "clinic", "--overlap", overlap).exit_code == 2


def test_too_many_keys_at_once_are_refused(needlecap: Callable[..., Result]) -> None:
    """Keys that were rotated out but still work do not pile up without end."""
    _create(needlecap)
    results = [needlecap("clients", "rotate", "--name", "clinic").exit_code for _ in range(10)]
    assert results == [0] * 9 + [1]


def test_one_key_is_revoked_and_shown(needlecap: Callable[..., Result], database_url: str) -> None:
    """The other keys of the client go on working; what is shown is each key's state, never a key."""
    old = _create(needlecap)
    new = needlecap("clients", "rotate", "--name", "clinic").stdout.strip()
    prefix = f"nck_{key_prefix(old)}"
    revoke = ("clients", "revoke", "--name", "clinic", "--key")
    assert needlecap(*revoke, prefix).stdout == f"revoked {prefix} of clinic\n"
    assert needlecap(*revoke, prefix).stdout == f"{prefix} of clinic was revoked already\n"
    assert needlecap(*revoke, "nck_" + "a" * 16).exit_code == 1
    assert [revoked for *_, revoked in _keys(database_url, "clinic")] == [True, False]
    shown = needlecap("clients", "show", "--name", "clinic").stdout
    assert prefix in shown
    assert "revoked" in shown
    assert new not in shown
    assert needlecap("clients", "show", "--name", "nobody").exit_code == 1


def test_revoked_client_gets_no_new_key(needlecap: Callable[..., Result]) -> None:
    """Revoking is for good: neither rotating nor updating opens the door again."""
    _create(needlecap)
    needlecap("clients", "revoke", "--name", "clinic")
    assert needlecap("clients", "rotate", "--name", "clinic").exit_code == 1
    assert needlecap("clients", "update", "--name", "clinic", "--payer", "*").exit_code == 1


def test_payers_and_rate_can_be_changed(needlecap: Callable[..., Result], database_url: str) -> None:
    """An update changes what was named and nothing else; naming nothing is refused."""
    _create(needlecap, "clinic", "--requests-per-second", "50")
    with psycopg.connect(database_url) as connection:
        connection.execute("insert into payer (payer_id, name) values ('p-one', 'One')")
    update = ("clients", "update", "--name", "clinic")
    assert needlecap(*update, "--payer", "p-one").exit_code == 0
    assert needlecap(*update, "--requests-per-second", "7").exit_code == 0
    assert needlecap(*update).exit_code == 2
    assert needlecap(*update, "--requests-per-second", "0").exit_code == 2
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select payers, requests_per_second from client").fetchone()
    assert row == (["p-one"], 7)


def test_client_can_be_made_without_a_key(needlecap: Callable[..., Result], database_url: str) -> None:
    """Its id is alone on standard output, for whoever signs instead of showing a key."""
    client_id = _create(needlecap, "clinic", "--without-key")
    assert client_id.startswith("cli_")
    stored = _stored(database_url, "clinic")
    assert stored is not None
    assert stored[2] is None


def test_client_with_tokens_alone_is_listed(needlecap: Callable[..., Result], database_url: str) -> None:
    """Access tokens are no keys: they are not counted, and they hide nobody."""
    client_id = _create(needlecap, "clinic", "--without-key")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into client_jwks (jwks_id, client_id, url) values ('j', %s, 'https://x.example/')",
            [client_id],
        )
        connection.execute(
            "insert into credential (prefix, kind, client_id, digest, jwks_id, expires_at)"
            " values ('t', 'token', %s, '', 'j', now() + interval '1 minute')",
            [client_id],
        )
    assert "clinic" in needlecap("clients", "list").stdout
    shown = needlecap("clients", "show", "--name", "clinic")
    assert client_id in shown.stdout
    assert "nck_" not in shown.stdout


def _jwks_file(directory: Path) -> Path:
    path = directory / "keys.json"
    path.write_text(jwk_set(signing_key("ES384"), signing_key("RS384", "second")))
    return path


def signs(needlecap: Callable[..., Result]) -> tuple[str, str]:
    """What the list says of the one client: how many keys it has, and whether it signs."""
    (line,) = (line for line in needlecap("clients", "list").stdout.splitlines() if "clinic" in line)
    cells = [cell.strip() for cell in line.split("│")]
    return cells[4], cells[5]


def test_public_keys_are_registered_listed_and_revoked(
    needlecap: Callable[..., Result], tmp_path: Path
) -> None:
    """What is printed is the registration's id alone; the list shows the keys' ids and never a key."""
    _create(needlecap, "clinic", "--without-key")
    jwks = ("clients", "jwks")
    added = needlecap(*jwks, "add", "--name", "clinic", "--file", str(_jwks_file(tmp_path)))
    assert added.exit_code == 0, added.output
    jwks_id = added.stdout.strip()
    assert signs(needlecap) == ("0", "yes")
    listed = needlecap(*jwks, "list", "--name", "clinic").stdout
    assert f"{jwks_id}: kid first, second;" in listed
    assert "active" in listed
    revoke = (*jwks, "revoke", "--name", "clinic", "--id")
    assert needlecap(*revoke, jwks_id).stdout == f"revoked {jwks_id}\n"
    assert needlecap(*revoke, jwks_id).stdout == f"{jwks_id} was revoked already\n"
    assert signs(needlecap) == ("0", "no")
    assert needlecap(*revoke, "jwks_other").exit_code == 1
    assert "revoked" in needlecap(*jwks, "list", "--name", "clinic").stdout
    assert "registrations of public keys: 1" in needlecap("clients", "show", "--name", "clinic").stdout


def test_address_of_keys_must_be_on_the_list(needlecap: Callable[..., Result], database_url: str) -> None:
    """Without a list nothing is; with one, what it names is registered."""
    _create(needlecap, "clinic", "--without-key")
    add = ("clients", "jwks", "add", "--name", "clinic", "--url", "https://ehr.example.org/jwks.json")
    refused = needlecap(*add)
    assert refused.exit_code == 1
    assert "NEEDLECAP_JWKS_URL_ALLOWED" in refused.stderr
    assert needlecap(*add, NEEDLECAP_JWKS_URL_ALLOWED="https://ehr.example.org/").exit_code == 0
    bad = needlecap(*add, NEEDLECAP_JWKS_URL_ALLOWED="http://ehr.example.org/")
    assert bad.exit_code == 1
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select url from client_jwks").fetchall() == [(add[-1],)]


def test_keys_that_cannot_be_used_are_not_registered(
    needlecap: Callable[..., Result], tmp_path: Path
) -> None:
    """A private key, no JWK Set, or no file at all: said, and nothing stored."""
    _create(needlecap, "clinic", "--without-key")
    path = tmp_path / "keys.json"
    add = ("clients", "jwks", "add", "--name", "clinic")
    assert needlecap(*add, "--file", str(path)).exit_code == 1
    path.write_text(json.dumps({"keys": [signing_key().as_dict(private=True)]}))
    refused = needlecap(*add, "--file", str(path))
    assert refused.exit_code == 1
    assert "private" in refused.stderr
    assert needlecap(*add).exit_code == 2
    assert needlecap("clients", "jwks", "list", "--name", "clinic").stdout.count("jwks_") == 0
