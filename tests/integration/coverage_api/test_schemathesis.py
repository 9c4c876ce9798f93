"""Requests that nobody thought of, made from the OpenAPI document: no failure, nothing undocumented."""

from __future__ import annotations

import json
import os
from typing import Any

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
from tests.builders import MEMBER, PAYER
from tests.integration.coverage_api.walled import Walled

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
    return value.encode() if isinstance(value, str) else json.dumps(value, default=str).encode()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("role", ROLES)
def test_made_up_requests_are_answered_as_documented(walled: Walled, role: str) -> None:
    """Whatever is sent with a key of this role, the answer is one the document foretells, and no 5xx."""
    service = walled.api.service
    schema = schemathesis.openapi.from_wsgi("/openapi.json", service.app)
    headers = {"Authorization": f"Bearer {walled.api.installation.key(role)}"}
    closed = {endpoint.name for endpoint in service.endpoints if role not in endpoint.roles}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), "the document is sound"
        operation = found.ok()
        # What the role may not call is refused before anything is looked at.
        few = operation.definition.raw.get("operationId") in closed
        exercise(operation, headers, max(1, EXAMPLES // 4) if few else EXAMPLES)


def exercise(operation: Any, headers: dict[str, str], examples: int) -> None:
    """Send made-up requests to one operation, some that keep to its document and some that do not."""
    for mode in GenerationMode:
        if mode is GenerationMode.NEGATIVE and (examples == 1 or not takes_input(operation)):
            continue
        cases = operation.as_strategy(generation_mode=mode)
        if mode is GenerationMode.POSITIVE:
            cases = cases.map(aimed)

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def send(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        send()


def aimed(case: Any) -> Any:
    """The case with the payer and the member there are, else none would get further than a 404."""
    for named in (case.path_parameters, case.body):
        if not isinstance(named, dict):
            continue
        for item in (named, *named.get("checks", ()), *named.get("events", ())):
            if isinstance(item, dict) and isinstance(item.get("payer_id"), str):
                item["payer_id"] = PAYER
            if isinstance(item, dict) and isinstance(item.get("member_id"), str):
                item["member_id"] = MEMBER
    return case


def takes_input(operation: Any) -> bool:
    """Whether there is anything that could be said wrongly."""
    return bool(operation.body or operation.path_parameters or operation.query or operation.headers)
