"""The API in this process, and an installation for it: a database with rules, clients and a drain."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any

import psycopg
from werkzeug.test import TestResponse

from services.coverage_api.bootstrap import Service, build
from services.coverage_api.settings import Settings
from shared.accounting.catalog_changes import load_packaged
from shared.accounting.drain import drain_shards
from shared.adapters.catalog_source import CatalogSource, packaged_parts
from shared.adapters.environment import Environment
from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.catalog_records import CatalogParts
from shared.domain.client import EVERY_PAYER
from shared.messages import SHARDS
from tests.builders import MEMBER, PAYER
from tests.clients import add_client, add_key
from tests.openapi_truth import OpenApiTruth
from tests.served_later import served_later

HASH_KEY = bytes(range(32))

Json = dict[str, Any]


class Installation:
    """A migrated database with the packaged catalog, and the clients a test asks for."""

    def __init__(self, database_url: str, keys: Mapping[str, str] | None = None) -> None:
        """Use this database, in which there are `keys` by the names of their clients."""
        self.database_url = database_url
        self.keys = dict(keys or {})
        self._database: PostgresDatabase | None = None

    @property
    def database(self) -> PostgresDatabase:
        """A pool of the test's own, as the worker would have."""
        if self._database is None:
            self._database = PostgresDatabase(self.database_url, connections_max=2)
        return self._database

    def load_catalog(self) -> None:
        """Have the packaged rules run."""
        with self.database.transaction(EVERY_PAYER) as tx:
            load_packaged(tx.catalog, parsed_catalog(), datetime.now(UTC))
            tx.commit()

    def key(
        self, role: str, *payers: str, name: str | None = None, expires_at: datetime | None = None
    ) -> str:
        """The key of a client with this role and these payers (none: all), made when first asked for."""
        granted = payers or ("*",)
        name = name or f"{role}-{'-'.join(granted).replace('*', 'all')}"
        if name not in self.keys:
            client_id = f"cli_{secrets.token_hex(8)}"
            with psycopg.connect(self.database_url) as connection:
                add_client(connection, client_id, name=name, role=role, payers=granted)
                self.keys[name] = add_key(connection, client_id, HASH_KEY, expires_at=expires_at)
        return self.keys[name]

    def drain(self) -> int:
        """Apply everything that waits, as a worker would; how many events that were."""
        applied, more = 0, True
        while more:
            report = drain_shards(
                self.database, self._rules, lambda: datetime.now(UTC), list(range(SHARDS)), 1_000
            )
            applied, more = applied + report.applied, report.more
        return applied

    @functools.cached_property
    def _rules(self) -> CatalogSource:
        return CatalogSource(self.database)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What a query answers, as superuser."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query, values).fetchall()

    def write(self, statement: str, *values: Any) -> None:
        """Carry out a statement, as superuser."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute(statement, values)

    def close(self) -> None:
        """Give up the pool."""
        if self._database is not None:
            self._database.close()


#: What services publish about themselves: the same from each, so asked of one for the whole suite.
_published: list[OpenApiTruth] = []


class Api:
    """A client of the service in this process."""

    def __init__(self, service: Service, installation: Installation) -> None:
        self.service = service
        self.installation = installation
        # As under the server that we ship: a call whose key is known is answered when its thread is gone.
        service.app.wsgi_app = served_later(service.app.wsgi_app)  # type: ignore[method-assign,assignment]
        self._client = service.app.test_client()
        if not _published:
            _published.append(OpenApiTruth(self._client.get("/openapi.json").get_json()))
        [self.truth] = _published

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "ehr",
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | IO[bytes] | None = None,
        content_type: str = "application/json",
    ) -> TestResponse:
        """Make one call with a key of `role` for all payers, or with `key` (empty for none).

        Every answer is held against the service's own OpenAPI document.
        """
        found = self.installation.key(role) if key is None else key
        sent = {**({"Authorization": f"Bearer {found}"} if found else {}), **(headers or {})}
        options: dict[str, Any] = {"method": method, "headers": sent}
        if body is not None:
            options["json"] = body
        elif isinstance(data, bytes):
            options |= {"data": data, "content_type": content_type}
        elif data is not None:
            options |= {"input_stream": data, "content_type": content_type}
            options["environ_overrides"] = {"wsgi.input_terminated": True}
        response = self._client.open(path, **options)
        self.truth.check(method, path, response)
        return response

    def get(self, path: str, **options: Any) -> TestResponse:
        """GET."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """POST."""
        return self.call("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        """PUT, as an admin unless told otherwise."""
        return self.call("PUT", path, body, **{"role": "admin", **options})


@functools.cache
def parsed_catalog() -> CatalogParts:
    """The packaged catalog, read once for the whole suite."""
    return packaged_parts()


def settings_for(database_url: str, redis_url: str, **changes: Any) -> Settings:
    """The settings of a service on these servers."""
    environment = Environment(
        database_url=database_url,
        redis_url=redis_url,
        broker_url=redis_url.rsplit("/", 1)[0] + "/1",
        hash_key=HASH_KEY,
        log_level="error",
    )
    return Settings(environment=environment, **changes)


@contextlib.contextmanager
def serving(database_url: str, redis_url: str, *, behind: str | None = None) -> Iterator[Api]:
    """The service with the packaged catalog, on a database of its own; `behind` is how it gets there."""
    installation = Installation(database_url)
    installation.load_catalog()
    with running(installation, redis_url, behind=behind) as api:
        yield api


@contextlib.contextmanager
def running(installation: Installation, redis_url: str, *, behind: str | None = None) -> Iterator[Api]:
    """The service on an installation, which is closed too in the end."""
    service = build(settings_for(behind or installation.database_url, redis_url))
    yield Api(service, installation)
    service.close()
    installation.close()


def enrollments(**changes: Any) -> Json:
    """The sample member, enrolled in the sample plan since 2020."""
    spans: list[Json] = [{"plan_id": "employer", "start": "2020-01-01", "end": None, "attributes": []}]
    return {"payer_id": PAYER, "member_id": MEMBER, "spans": spans, **changes}


def check(**changes: Any) -> Json:
    """An eligibility check for the sample member."""
    return {
        "payer_id": PAYER,
        "member_id": MEMBER,
        "service_date": "2026-03-04",
        "lines": [{"procedure_code": "20560"}],
        "provider": {"type": "physical_therapist"},
        "state": "WI",
        **changes,
    }


def event(number: int, **changes: Any) -> Json:
    """Visit `v<number>` of the sample member, recorded by event `e<number>`."""
    return {
        "event_id": f"e{number}",
        "type": "visit.recorded",
        "visit_id": f"v{number}",
        "payer_id": PAYER,
        "member_id": MEMBER,
        "service_date": "2026-03-04",
        "lines": [{"procedure_code": "20560"}],
        "provider": {"type": "physical_therapist"},
        "state": "WI",
        **changes,
    }
