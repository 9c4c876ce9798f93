"""The document and the page that explain the API, on networks that reach nothing else."""

from __future__ import annotations

import re

from jsonschema import Draft202012Validator

from tests.api_service import Api


def test_document_is_openapi_3_1_with_every_reference_in_it(steady_api: Api) -> None:
    """Each `$ref` leads somewhere, each schema is one, and only the open calls need no key."""
    document = steady_api.get("/openapi.json", key="").get_json()
    assert document["openapi"] == "3.1.0"
    names = document["components"]["schemas"]
    for schema in names.values():
        Draft202012Validator.check_schema(schema)
        assert schema["description"]
    text = steady_api.get("/openapi.json", key="").text
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(names)
    without_key = {
        path for path, item in document["paths"].items() if item.get("get", {}).get("security") == []
    }
    assert not any(path.startswith("/v1/") for path in without_key)


def test_every_call_documents_what_can_go_wrong(steady_api: Api) -> None:
    """401, 403 and 503 with each call that needs a key, and its roles in words."""
    document = steady_api.get("/openapi.json", key="").get_json()
    for path, item in document["paths"].items():
        for operation in item.values():
            if path.startswith("/v1/"):
                assert {"401", "403", "500", "503"} <= set(operation["responses"])
                assert "Roles: " in operation["description"]


def test_page_needs_no_other_host(steady_api: Api) -> None:
    """No script, nothing from elsewhere, and a policy that would not let it in."""
    page = steady_api.get("/docs", key="")
    assert page.content_type == "text/html; charset=utf-8"
    assert "<script" not in page.text
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert set(loaded) == {"/docs/docs.css", "/openapi.json"}
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert steady_api.get("/docs/docs.css", key="").content_type == "text/css; charset=utf-8"


def test_page_shows_every_call(steady_api: Api) -> None:
    """Whoever reads the page misses none."""
    page = steady_api.get("/docs", key="").text
    for endpoint in steady_api.service.endpoints:
        assert f'id="{endpoint.name}"' in page


def test_metrics_name_calls_by_their_template(steady_api: Api) -> None:
    """An address with an id in it is counted under its template."""
    steady_api.get("/v1/holds/hld_secret")
    metrics = steady_api.get("/metrics", key="").text
    assert 'route="/v1/holds/{hold_id}"' in metrics
    assert "hld_secret" not in metrics
