"""PostgreSQL over TLS: `sslmode=verify-full` works, and takes neither a stranger nor another name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.errors import StoreUnavailable
from tests.certificates import make_certificate
from tests.proxy import Proxy

#: A client's question whether there is TLS (SSLRequest): its length and a code.
SSL_REQUEST_BYTES = 8

#: The pool tries as long as it is given; a certificate that is refused stays so.
REFUSED_SECONDS = 1.0


@pytest.fixture
def tls(database_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """How to reach a database behind TLS whose certificate is for 127.0.0.1, and whom to trust."""
    certificate, context = make_certificate(tmp_path)
    parts = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
    proxy = Proxy(parts["host"], int(parts["port"]), tls=context, asks_for_tls=SSL_REQUEST_BYTES)
    with proxy.running():
        changed = {"port": str(proxy.port), "sslmode": "verify-full", "sslrootcert": str(certificate)}
        yield {**parts, **changed}


def payers(parts: dict[str, str], wait_seconds: float = 10.0) -> int:
    """How many payers a transaction sees through these parameters."""
    url = make_conninfo(**parts)
    database = PostgresDatabase(url, connections_max=1, wait_seconds=wait_seconds)
    with closing(database), database.transaction(("*",)) as tx:
        return len(tx.known_payers.existing(["none"]))


def test_database_is_reached_with_a_certificate_for_its_name(tls: dict[str, str]) -> None:
    """Everything works as without TLS."""
    assert payers(tls) == 0


def test_certificate_of_a_stranger_is_refused(tls: dict[str, str], tmp_path: Path) -> None:
    """Somebody in between is an outage, not a source of answers."""
    directory = tmp_path / "other"
    directory.mkdir()
    stranger, _ = make_certificate(directory)
    with pytest.raises(StoreUnavailable):
        payers({**tls, "sslrootcert": str(stranger)}, REFUSED_SECONDS)


def test_certificate_for_another_name_is_refused(tls: dict[str, str]) -> None:
    """One that is trusted and for another host is no better."""
    with pytest.raises(StoreUnavailable):
        payers({**tls, "host": "localhost"}, REFUSED_SECONDS)
