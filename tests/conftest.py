"""Real servers for the whole suite. A server that does not start fails every test that needs it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from tests.servers import Postgres, Server, start_postgres, start_valkey

_numbers = itertools.count(1)

# How long one example takes says more of a busy machine than of what it tries; a test has its time-out.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a stopped PostgreSQL cluster with its migrated template, to be copied."""
    directory = tmp_path_factory.mktemp("cluster")
    start_postgres(directory).server.stop()
    return directory


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, cluster: Path) -> Iterator[Postgres]:
    """The suite's PostgreSQL. Tests must leave it running; `own_postgres` may be killed."""
    started = start_postgres(tmp_path_factory.mktemp("postgres"), like=cluster)
    yield started
    started.server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The suite's Valkey. Tests must leave it running; `own_valkey` may be killed."""
    started = start_valkey(tmp_path_factory.mktemp("valkey"))
    yield started
    started.stop()


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A database of the test's own with the newest schema, as its superuser."""
    with postgres.database(f"test_{next(_numbers)}") as url:
        yield url


@pytest.fixture
def redis_url(valkey: Server) -> str:
    """An empty Redis, database 0; its database 1 is empty too, for the broker."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory, cluster: Path) -> Iterator[Postgres]:
    """A PostgreSQL for this test alone, which it may stop, kill and start again."""
    started = start_postgres(tmp_path_factory.mktemp("own-postgres"), like=cluster)
    yield started
    started.server.stop()


@pytest.fixture
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Valkey for this test alone, which it may stop, kill and start again."""
    started = start_valkey(tmp_path_factory.mktemp("own-valkey"))
    yield started
    started.stop()
