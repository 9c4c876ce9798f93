"""Rate limits of clients, on real servers and two processes' services."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import redis

from services.coverage_api.bootstrap import build
from tests.api_service import HASH_KEY, Api, settings_for
from tests.clients import add_client, add_key
from tests.servers import Server
from tests.waiting import wait_for

STATUS = "/v1/status"


def limited(api: Api, requests_per_second: int) -> str:
    """The key of a client that may call so often."""
    name = f"limited-{requests_per_second}"
    with psycopg.connect(api.installation.database_url) as connection:
        add_client(connection, name, role="ops", requests_per_second=requests_per_second)
        return add_key(connection, name, HASH_KEY)


@pytest.fixture
def two_apis(bare_api: Api, redis_url: str) -> Iterator[tuple[Api, Api]]:
    """Two processes' services on one database and one Redis."""
    service = build(settings_for(bare_api.installation.database_url, redis_url))
    yield bare_api, Api(service, bare_api.installation)
    service.close()


def stretch(redis_url: str, client_id: str) -> None:
    """Let the client's window last, so that however slow this machine is no second one begins."""
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.pexpire(f"needlecap:rate:{{{client_id}}}", 600_000)


def test_every_answer_says_where_the_client_stands(bare_api: Api) -> None:
    """A thousand calls a second unless an operator said otherwise; refusals of known clients say it too."""
    answer = bare_api.get(STATUS, role="ops")
    assert answer.headers["RateLimit-Policy"] == '"default";q=1000;w=1'
    assert answer.headers["RateLimit"] == '"default";r=999;t=1'
    assert "RateLimit" in bare_api.get(STATUS, role="ehr").headers
    assert "RateLimit" not in bare_api.get(STATUS, key="").headers
    key = limited(bare_api, 7)
    assert bare_api.get(STATUS, key=key).headers["RateLimit-Policy"] == '"default";q=7;w=1'


def test_two_processes_share_a_clients_window(two_apis: tuple[Api, Api], redis_url: str) -> None:
    """Together they let the limit through; then it is 429 with Retry-After, and other clients are served."""
    one, other = two_apis
    key = limited(one, 6)
    assert one.get(STATUS, key=key).status_code == 200
    stretch(redis_url, "limited-6")
    answers = [api.get(STATUS, key=key) for _ in range(4) for api in (other, one)]
    assert [answer.status_code for answer in answers].count(200) in {5, 6}
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.get_json()["type"] == "/problems/rate_limited"
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["RateLimit"] == '"default";r=0;t=1'
    assert one.get(STATUS, role="ops").status_code == 200


def test_client_is_served_again_when_its_window_is_over(bare_api: Api) -> None:
    """Nobody stays shut out."""
    key = limited(bare_api, 1)
    assert bare_api.get(STATUS, key=key).status_code == 200
    wait_for(lambda: bare_api.get(STATUS, key=key).status_code == 200)


def test_calls_pass_without_redis(bare_api: Api, own_valkey: Server) -> None:
    """With Redis away a process counts by itself."""
    service = build(settings_for(bare_api.installation.database_url, own_valkey.url))
    api = Api(service, bare_api.installation)
    own_valkey.stop()
    key = limited(bare_api, 50)
    answers = [api.get(STATUS, key=key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert all("RateLimit" in answer.headers for answer in answers)
    service.close()
