"""The API in this process, on a database and a Redis of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.api_service import Api, Installation, enrollments, running, serving
from tests.builders import PAYER
from tests.integration.coverage_api.walled import Walled, build_walled
from tests.servers import Postgres, Server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def steady_api(postgres: Postgres, valkey: Server) -> Iterator[Api]:
    """One service for all tests that only look at what is refused, and so leave nothing behind."""
    with postgres.database("steady_api") as url, serving(url, valkey.url) as api:
        yield api


@pytest.fixture(scope="module")
def walled(postgres: Postgres, valkey: Server) -> Iterator[Walled]:
    """One payer with one of everything, for all tests of a module that only look at its walls."""
    with postgres.database("walled") as url, serving(url, valkey.url) as api:
        yield build_walled(api)


@pytest.fixture(scope="session")
def with_catalog(postgres: Postgres) -> Iterator[str]:
    """The name of a database with the packaged catalog, to be copied."""
    with postgres.database("with_catalog") as url:
        made = Installation(url)
        made.load_catalog()
        made.close()
        yield "with_catalog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A database with a plan and a member, to be copied, and the keys of the clients in it."""

    name: str
    keys: Mapping[str, str]


@pytest.fixture(scope="session")
def with_member(postgres: Postgres, valkey: Server, with_catalog: str) -> Iterator[Enrolled]:
    """What `api` begins with, made through the API."""
    with postgres.database("with_member", like=with_catalog) as url:
        with running(Installation(url), valkey.url) as api:
            plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
            assert api.put(f"/v1/payers/{PAYER}/plans/employer", plan).status_code == 201
            assert api.put("/v1/enrollments", enrollments()).status_code == 200
        yield Enrolled(name="with_member", keys=api.installation.keys)


@pytest.fixture
def installation(postgres: Postgres, with_catalog: str) -> Iterator[Installation]:
    """A database with the packaged catalog."""
    with postgres.database(f"catalog_{next(_numbers)}", like=with_catalog) as url:
        made = Installation(url)
        yield made
        made.close()


@pytest.fixture
def bare_api(installation: Installation, redis_url: str) -> Iterator[Api]:
    """The service with no plans and no members."""
    with running(installation, redis_url) as made:
        yield made


@pytest.fixture
def api(postgres: Postgres, with_member: Enrolled, redis_url: str) -> Iterator[Api]:
    """The service with one plan and one member enrolled in it since 2020."""
    with (
        postgres.database(f"member_{next(_numbers)}", like=with_member.name) as url,
        running(Installation(url, with_member.keys), redis_url) as made,
    ):
        yield made
