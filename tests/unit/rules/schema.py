"""The JSON Schema of rule documents, asked about data as YAML or Python holds it."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema

from shared.adapters.catalog_files import packaged_catalog
from shared.domain.rule_parsing import canonical_json


@functools.cache
def _validator() -> Any:
    schema = json.loads((packaged_catalog() / "rule-document.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def schema_errors(data: object) -> list[str]:
    """What the schema refuses, as messages."""
    as_json = json.loads(canonical_json(data))
    return [error.message for error in _validator().iter_errors(as_json)]
