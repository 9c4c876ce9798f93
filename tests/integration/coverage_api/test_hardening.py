"""What browsers are told: headers of every answer, and which pages of other origins may call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.coverage_api.bootstrap import build
from tests.api_service import Api, Installation, check, settings_for
from tests.servers import Server

PORTAL = "https://portal.example.org"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
def portal_api(installation: Installation, redis_url: str) -> Iterator[Api]:
    """A service that pages of one origin may call."""
    service = build(settings_for(installation.database_url, redis_url, cors_origins=(PORTAL,)))
    yield Api(service, installation)
    service.close()


def test_every_answer_says_how_it_may_be_used(steady_api: Api) -> None:
    """Nothing is guessed, kept, framed or fetched by it, whatever the answer is."""
    for path, key in (("/docs", ""), ("/v1/status", ""), ("/v1/none", ""), ("/problems/none", "")):
        headers = steady_api.get(path, key=key).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert not any(name.startswith("Access-Control-") for name, _ in headers)
    assert steady_api.get("/v1/status", role="ops").headers["Cache-Control"] == "no-store"


def test_pages_of_the_list_may_call(portal_api: Api) -> None:
    """The browser is told so before it calls, and lets the page read the answer, a refusal too."""
    asked = portal_api.service.app.test_client().options(
        "/v1/eligibility-checks", headers={"Origin": PORTAL, **ASKS}
    )
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == PORTAL
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in asked.headers
    for key in (None, ""):
        answer = portal_api.post("/v1/eligibility-checks", check(), key=key, headers={"Origin": PORTAL})
        assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example.org", "null", f"{PORTAL}.evil.example", PORTAL.upper()]
)
def test_pages_of_others_may_not(portal_api: Api, origin: str) -> None:
    """Neither is the question before the call answered, nor may an answer be read."""
    asked = portal_api.service.app.test_client().options(
        "/v1/eligibility-checks", headers={"Origin": origin, **ASKS}
    )
    assert asked.status_code == 405
    answer = portal_api.post("/v1/eligibility-checks", check(), headers={"Origin": origin})
    for headers in (asked.headers, answer.headers):
        assert "Access-Control-Allow-Origin" not in headers
        assert "Origin" in headers["Vary"]


def test_without_a_list_no_page_may(steady_api: Api, valkey: Server) -> None:
    """The default."""
    asked = steady_api.service.app.test_client().options("/v1/status", headers={"Origin": PORTAL, **ASKS})
    assert asked.status_code == 405
    assert "Access-Control-Allow-Origin" not in asked.headers


def test_made_up_methods_are_no_labels(steady_api: Api) -> None:
    """Nobody without a key can have metrics grow, or write into them."""
    answer = steady_api.service.app.test_client().open("/v1/status", method="MADEUP")
    assert answer.status_code == 405
    metrics = steady_api.get("/metrics", key="").text
    assert "MADEUP" not in metrics
    assert 'method="OTHER"' in metrics
