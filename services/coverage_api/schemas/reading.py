"""Reads JSON values with a schema, and names every fault by a JSON pointer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, ValidationError

from services.coverage_api.schemas.plain_reading import NotPlain, plain_reader
from shared.domain.errors import Invalid

Json = dict[str, Any]

#: A body with more faults than this is described by the first of them.
FAULTS_MAX = 50


class Reader:
    """One schema, built once and shared by all threads."""

    def __init__(self, schema: type[Schema]) -> None:
        """Build the schema."""
        self._schema = schema()
        self._read_plain = plain_reader(self._schema)

    def read(self, value: object) -> Json:
        """The validated value with its defaults. Raises Invalid naming each fault by its pointer."""
        try:
            plain: Json = self._read_plain(value)
        except NotPlain:
            return self._read_closely(value)
        return plain

    def _read_closely(self, value: object) -> Json:
        if not isinstance(value, dict):
            raise Invalid([("", "Must be a JSON object.")])
        try:
            loaded: Json = self._schema.load(value)
        except ValidationError as error:
            # Not chained: marshmallow's error holds the data it refused (contract I8).
            raise Invalid(list(_first(FAULTS_MAX, faults(error.messages)))) from None
        return loaded


def faults(messages: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Marshmallow's nested messages as (JSON pointer, message) pairs (RFC 6901)."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from faults(inner, pointer if key == "_schema" else f"{pointer}/{_escaped(key)}")
    elif isinstance(messages, list):
        for inner in messages:
            yield from faults(inner, pointer)
    else:
        yield pointer, str(messages)


def _escaped(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _first(count: int, pairs: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return (pair for _, pair in zip(range(count), pairs, strict=False))
