"""Requests that nobody thought of, made from the OpenAPI document: no failure, nothing undocumented."""

from __future__ import annotations

import os
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from shared.domain.client import ROLES
from tests.api_service import Api

#: Cases per call and role. More is asked for by hand, not by the suite.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "4"))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: Any, value: Any) -> Any:
    """A stream as it was made up: whatever it says, it is text."""
    return value.encode() if isinstance(value, str) else orjson.dumps(value, default=str)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("role", ROLES)
def test_made_up_requests_are_answered_as_documented(steady_api: Api, role: str) -> None:
    """Whatever is sent with a key of this role, the answer is one the document foretells, and no 5xx."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", steady_api.service.app)
    headers = {"Authorization": f"Bearer {steady_api.installation.key(role)}"}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), "the document is sound"
        exercise(found.ok(), headers)


def exercise(operation: Any, headers: dict[str, str]) -> None:
    """Send made-up requests to one operation, some that keep to its document and some that do not."""
    for mode in GenerationMode:
        if mode is GenerationMode.NEGATIVE and not takes_input(operation):
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        send()


def takes_input(operation: Any) -> bool:
    """Whether there is anything that could be said wrongly."""
    return bool(operation.body or operation.path_parameters or operation.query or operation.headers)
