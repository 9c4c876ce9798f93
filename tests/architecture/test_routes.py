"""The API's shape: every route needs a key, is documented, and follows the words of the contract."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import Client

from services.coverage_api.app import flask_rule
from services.coverage_api.bootstrap import Service, build
from services.coverage_api.openapi import public_path
from tests.api_service import settings_for

#: The only routes that answer without a key, with their methods.
OPEN = {
    "/": "GET",
    "/healthz": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
    "/openapi.json": "GET",
    "/docs": "GET",
    "/docs/docs.css": "GET",
    "/problems/{slug:id}": "GET",
    "/oauth/token": "POST",
    "/.well-known/smart-configuration": "GET",
}

#: Modules beside the use cases that several of them share.
SHARED_PARTS = {"__init__", "incoming", "showing"}

LINES_MAX = 400
FUNCTION_LINES_MAX = 70
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service whose servers do not exist: nothing here needs them."""
    built = build(settings_for("postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1/0"))
    yield built
    built.close()


def test_every_route_is_declared_as_an_endpoint_or_open(service: Service) -> None:
    """A view that goes round the checks cannot be added unnoticed."""
    declared = {flask_rule(endpoint.path) for endpoint in service.endpoints}
    routed = {rule.rule for rule in service.app.url_map.iter_rules()}
    assert routed == declared | {flask_rule(path) for path in OPEN}


def test_every_v1_route_refuses_a_call_without_a_key(service: Service) -> None:
    """401 before anything else is looked at, even with the database away."""
    client = Client(service.app)
    for endpoint in service.endpoints:
        path = public_path(endpoint.path)
        address = path.replace("{version}", "1").replace("{", "").replace("}", "")
        answer = client.open(address, method=endpoint.method)
        assert answer.status_code == 401, endpoint.name


def test_every_endpoint_asks_for_a_role(service: Service) -> None:
    """No endpoint is open to any key at all."""
    assert all(endpoint.roles for endpoint in service.endpoints)


def test_every_route_is_in_the_openapi_document(service: Service) -> None:
    """The document lists each route with its method, and nothing that is not there."""
    document = Client(service.app).get("/openapi.json").get_json()
    documented = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    routed = {(public_path(endpoint.path), endpoint.method) for endpoint in service.endpoints}
    assert documented == routed | {(public_path(path), method) for path, method in OPEN.items()}


def test_members_are_never_in_an_address(service: Service) -> None:
    """What is about a person is in a body, so that no log of addresses holds it (I8)."""
    words = ("member", "birth", "diagnosis", "service_date", "name=")
    for endpoint in service.endpoints:
        spelled = endpoint.path + "".join(p.name for p in endpoint.parameters if p.place == "query")
        assert not any(word in spelled for word in words), endpoint.name


@pytest.mark.parametrize("path", sorted((ROOT / "services" / "coverage_api").rglob("*.py")), ids=str)
def test_modules_and_functions_fit_a_screen(path: Path) -> None:
    """Modules of at most 400 lines, functions of at most 70."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or node.lineno) - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "services" / "coverage_api" / "usecases").glob("*.py")), ids=lambda path: path.stem
)
def test_use_case_is_one_module_with_one_public_function(path: Path) -> None:
    """A newcomer can guess from a file's name what it does."""
    functions = [
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    assert functions == [path.stem] or path.stem in SHARED_PARTS
