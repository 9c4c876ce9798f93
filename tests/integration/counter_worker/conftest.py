"""A worker's tools on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.counter_worker.ports import Tools
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from tests.offices import MakeTools, Office, open_office, worker_tools


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    """An office with a database of its own."""
    opened = open_office(database_url)
    yield opened
    opened.database.close()


@pytest.fixture
def make_tools(office: Office, redis_url: str) -> Iterator[MakeTools]:
    """Makes tools on the office's database and the suite's Valkey, save for what is given."""
    database = PostgresDatabase(office.url, connections_max=10)
    client = connect(redis_url)

    def make(**given: Any) -> Tools:
        return replace(worker_tools(database, client), **given)

    yield make
    database.close()
    client.close()


@pytest.fixture
def tools(make_tools: MakeTools) -> Tools:
    """The tools of a worker."""
    return make_tools()
