"""Holds every answer of the API against the OpenAPI document that it publishes.

Readers are told to ignore fields that they do not know. Of the calls of the main job the document must
name every field all the same: their answers are held against it with further fields refused.
"""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

Json = dict[str, Any]

#: Calls whose answers have no field that the document does not describe.
COMPLETE = (
    "/v1/eligibility-checks",
    "/v1/accumulators",
    "/v1/visits",
    "/v1/visit-events",
    "/v1/holds",
)


def closed(schema: Any) -> Any:
    """A schema in which every object that describes its fields has no others."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return {**parts, "additionalProperties": False} if isinstance(parts.get("properties"), dict) else parts


class OpenApiTruth:
    """Knows what the document says of each call."""

    def __init__(self, document: Json) -> None:
        """Keep the document of a running service."""
        self.document = document
        self._paths = sorted(
            ((re.compile(re.sub(r"\\{\w+\\}", "(.+)", re.escape(path))), path) for path in document["paths"]),
            key=lambda entry: (entry[1].count("{"), -len(entry[1])),
        )
        self._validators: dict[tuple[str, bool], Draft202012Validator] = {}
        self._components = {False: document["components"], True: closed(document["components"])}

    def check(self, method: str, path: str, response: TestResponse) -> None:
        """Fail unless the document foretells this answer's status, type and body."""
        template = self.template(method, path.split("?", maxsplit=1)[0])
        if template is None:
            assert response.status_code in {404, 405}, f"{method} {path} is answered but not documented"
            return
        operation = self.document["paths"][template][method.lower()]
        documented = operation["responses"].get(str(response.status_code))
        assert documented, f"{method} {template} answered {response.status_code}, which is not documented"
        kind = response.content_type.split(";")[0]
        assert kind in documented["content"], f"{method} {template} answered {kind}, which is not documented"
        for name in documented["headers"]:
            is_always_sent = name in {"X-Request-ID", "WWW-Authenticate", "Retry-After"}
            assert not is_always_sent or name in response.headers, f"{name} is documented and was not sent"
        if kind.endswith("json"):
            complete = template.startswith(COMPLETE) and response.status_code < 300
            schema = documented["content"][kind]["schema"]
            self.validate(schema, response.get_json(force=True), complete=complete)

    def template(self, method: str, path: str) -> str | None:
        """The documented path that an address of this method falls under."""
        found = (
            template
            for pattern, template in self._paths
            if pattern.fullmatch(path) and method.lower() in self.document["paths"][template]
        )
        return next(found, None)

    def validate(self, schema: Json, value: Any, *, complete: bool) -> None:
        """Fail unless a value is as a schema of the document says; `complete` allows no further field."""
        name = repr(schema), complete
        if name not in self._validators:
            self._validators[name] = Draft202012Validator(
                {**schema, "components": self._components[complete]},
                format_checker=Draft202012Validator.FORMAT_CHECKER,
            )
        faults = [
            f"{error.json_path}: {error.message}" for error in self._validators[name].iter_errors(value)
        ]
        assert not faults, faults
