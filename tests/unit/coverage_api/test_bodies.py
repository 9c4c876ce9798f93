"""JSON that is not well-formed is refused, whatever way it is broken."""

from __future__ import annotations

import pytest

from services.coverage_api.bodies import parse_json
from services.coverage_api.errors import MalformedBody


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'"\\ud800"',
        b'{"a": "\xff"}',
        b'{"a": 1} {"b": 2}',
        b'{"a": 1, "a": 2}',
        b'{"x": [{"a": 1, "b": "with: colons: here", "a": "none"}]}',
        b'{"a": 1, "a": "\\u003a"}',
        b'{"a": 1, "\\u0061": 2}',
        b"[" * 100_000,
        b"[" * 900 + b"]" * 900,
    ],
)
def test_malformed_json_is_refused(body: bytes) -> None:
    """Broken texts, non-finite numbers, repeated names and bottomless nesting are all malformed."""
    with pytest.raises(MalformedBody, match=r"The body |of the body "):
        parse_json(body)
    with pytest.raises(MalformedBody, match=r"The line |of the line "):
        parse_json(body, "line")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{\n  "a": 1,\n  "b": }', "at line 3, column 8."),
        (b'{"a": 1,}', "at column 8."),
    ],
)
def test_place_of_the_fault_is_told(body: bytes, place: str) -> None:
    """Where reading ended, and nothing of what stands there (I8)."""
    with pytest.raises(MalformedBody, match=r"not well-formed JSON") as caught:
        parse_json(body)
    assert str(caught.value).endswith(place)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": "b: c", "d:e": 1}', {"a": "b: c", "d:e": 1}),
        (b'{"a": "\\u003a", "b": ":"}', {"a": ":", "b": ":"}),
        (b' [1, {"a": {"a": null}}] ', [1, {"a": {"a": None}}]),
        ('{"ö": "\U0001f600"}'.encode(), {"ö": "\U0001f600"}),
    ],
)
def test_well_formed_json_is_read(body: bytes, value: object) -> None:
    """Colons, escapes and equal names in different objects are no fault."""
    assert parse_json(body) == value
