"""The document and the page that explain the API, on networks that reach nothing else."""

from __future__ import annotations

import html
import json
import re

import pytest
from jsonschema import Draft202012Validator

from services.coverage_api.errors import ProblemType, problem_kinds
from services.coverage_api.openapi import public_path
from services.coverage_api.routes.examples import EXAMPLES
from tests.api_service import Api

#: What stands in the addresses of the examples.
PLACES = {"payer_id": "security-health-plan", "plan_id": "example", "document_id": "example", "version": "1"}


def test_document_is_openapi_3_1_with_every_reference_in_it(steady_api: Api) -> None:
    """Each `$ref` leads somewhere, each schema is one, and only the open calls need no key."""
    document = steady_api.get("/openapi.json", key="").get_json()
    assert document["openapi"] == "3.1.0"
    names = document["components"]["schemas"]
    for schema in names.values():
        Draft202012Validator.check_schema(schema)
        assert schema["description"]
    text = steady_api.get("/openapi.json", key="").text
    references = set(re.findall(r'"\$ref":"([^"]*)"', text))
    assert references <= {f"#/components/schemas/{name}" for name in names}
    assert "#/components/schemas/VisitReport" in references
    without_key = {
        path for path, item in document["paths"].items() if item.get("get", {}).get("security") == []
    }
    assert not any(path.startswith("/v1/") for path in without_key)


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_nothing_of_python_is_shown(steady_api: Api, path: str) -> None:
    """What a reader sees are words and values, never the look of an object in memory."""
    text = html.unescape(steady_api.get(path, key="").text)
    for inside in ("built-in", "<class", "0x7", " object at "):
        assert inside not in text


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
    problems = {f"/problems/{kind.slug}" for kind in problem_kinds()}
    assert set(loaded) == {"/docs/docs.css", "/openapi.json"} | problems
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert steady_api.get("/docs/docs.css", key="").content_type == "text/css; charset=utf-8"


def test_page_shows_every_call(steady_api: Api) -> None:
    """Whoever reads the page misses none."""
    page = steady_api.get("/docs", key="").text
    for endpoint in steady_api.service.endpoints:
        assert f'id="{endpoint.name}"' in page


def test_every_example_is_taken_as_it_stands(api: Api) -> None:
    """Sent in the order of a first day with a payer, each is answered as the document says, its items too.

    None is about a member of the samples or an event of the README: those stay as they are.
    """
    endpoints = {e.name: e for e in api.service.endpoints}
    document = api.get("/openapi.json", key="").get_json()
    first = ("putPayer", "putPlan", "putEnrollments", "putRuleDocument", "recordVisitEvent")
    with_bodies = {name for name, e in endpoints.items() if e.body is not None or e.streams is not None}
    for name in (*first, *sorted(with_bodies - set(first))):
        endpoint = endpoints[name]
        path = public_path(endpoint.path)
        [(kind, content)] = document["paths"][path][endpoint.method.lower()]["requestBody"]["content"].items()
        example = content["example"]
        for others in ("SAMPLE-0", "SAMPLE-TOUR", "example-1", "example-visit"):
            assert others not in str(example)
        for parameter, value in PLACES.items():
            path = path.replace(f"{{{parameter}}}", value)
        answer = api.call(
            endpoint.method,
            path,
            data=(example if isinstance(example, str) else json.dumps(example)).encode(),
            content_type=kind,
            role=min(endpoint.roles),
            headers={"Idempotency-Key": name},
        )
        assert answer.status_code in endpoint.replies, answer.text
        said = answer.get_json()
        assert all(item["status"] < 400 for item in said.get("results", ()))
        assert not said.get("rejected_lines")


def test_page_shows_examples_to_be_opened(steady_api: Api) -> None:
    """One for each call with a body, without a script."""
    page = html.unescape(steady_api.get("/docs", key="").text)
    assert page.count("<details>") == len(EXAMPLES)
    assert '"procedure_code": "20560"' in page


def test_page_is_for_readers(steady_api: Api) -> None:
    """Code is set as code, and the style sheet is no call to read about."""
    page = steady_api.get("/docs", key="").text
    assert "`" not in page
    assert "<code>/problems/indeterminate</code>" in page
    assert page.count("/docs/docs.css") == 1
    assert "<code>ehr:PAYER_ID</code>" in page  # Where a refusal of `scope` sends the reader.


def test_bare_address_leads_to_the_page(steady_api: Api) -> None:
    """Whoever opens the service in a browser finds what it can do."""
    answer = steady_api.get("/", key="")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")


@pytest.mark.parametrize("kind", problem_kinds(), ids=lambda kind: kind.slug)
def test_type_of_a_problem_is_an_address_that_explains_it(steady_api: Api, kind: ProblemType) -> None:
    """A program gets JSON, a browser a page that loads nothing from elsewhere; neither needs a key."""
    path = f"/problems/{kind.slug}"
    explained = steady_api.get(path, key="").get_json()
    assert (explained["type"], explained["title"], explained["status"]) == (path, kind.title, kind.status)
    assert explained["means"]
    assert explained["remedy"]
    page = steady_api.get(path, key="", headers={"Accept": "text/html"})
    assert page.content_type == "text/html; charset=utf-8"
    assert f"<h1>{kind.title}</h1>" in page.text
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page.text)) == {"/docs/docs.css", "/docs"}
    assert "`" not in page.text


def test_unknown_type_of_a_problem_is_not_found(steady_api: Api) -> None:
    """There is a page for each problem and for nothing else."""
    assert steady_api.get("/problems/none", key="").status_code == 404


def test_metrics_name_calls_by_their_template(steady_api: Api) -> None:
    """An address with an id in it is counted under its template."""
    steady_api.get("/v1/holds/hld_secret")
    metrics = steady_api.get("/metrics", key="").text
    assert 'route="/v1/holds/{hold_id}"' in metrics
    assert "hld_secret" not in metrics
