"""Holds every answer of the API against the OpenAPI document that it publishes."""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

Json = dict[str, Any]


class OpenApiTruth:
    """Knows what the document says of each call."""

    def __init__(self, document: Json) -> None:
        """Keep the document of a running service."""
        self.document = document
        self._paths = sorted(
            ((re.compile(re.sub(r"\\{\w+\\}", "(.+)", re.escape(path))), path) for path in document["paths"]),
            key=lambda entry: (entry[1].count("{"), -len(entry[1])),
        )
        self._validators: dict[str, Draft202012Validator] = {}

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
            self._validate(documented["content"][kind]["schema"], response.get_json(force=True))

    def template(self, method: str, path: str) -> str | None:
        """The documented path that an address of this method falls under."""
        found = (
            template
            for pattern, template in self._paths
            if pattern.fullmatch(path) and method.lower() in self.document["paths"][template]
        )
        return next(found, None)

    def _validate(self, schema: Json, value: Any) -> None:
        name = repr(schema)
        if name not in self._validators:
            self._validators[name] = Draft202012Validator(
                {**schema, "components": self.document["components"]},
                format_checker=Draft202012Validator.FORMAT_CHECKER,
            )
        faults = [
            f"{error.json_path}: {error.message}" for error in self._validators[name].iter_errors(value)
        ]
        assert not faults, faults
