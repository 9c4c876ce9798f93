"""The API in this process, on a database and a Redis of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.coverage_api.bootstrap import build
from tests.api_service import Api, Installation, enrollments, serving, settings_for
from tests.builders import PAYER
from tests.integration.coverage_api.walled import Walled, build_walled
from tests.servers import Postgres, Server


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


@pytest.fixture
def installation(database_url: str) -> Iterator[Installation]:
    """A database with the packaged catalog."""
    made = Installation(database_url)
    made.load_catalog()
    yield made
    made.close()


@pytest.fixture
def bare_api(installation: Installation, redis_url: str) -> Iterator[Api]:
    """The service with no plans and no members."""
    service = build(settings_for(installation.database_url, redis_url))
    yield Api(service, installation)
    service.close()


@pytest.fixture
def api(bare_api: Api) -> Api:
    """The service with one plan and one member enrolled in it since 2020, made through the API."""
    plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
    assert bare_api.put(f"/v1/payers/{PAYER}/plans/employer", plan).status_code == 201
    enrolled = bare_api.put("/v1/enrollments", enrollments())
    assert enrolled.status_code == 200
    return bare_api
