"""JSON objects for a schema of the API, drawn at random from its own rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from marshmallow import Schema, fields, validate

from services.coverage_api.schemas.fields import (
    FIRST_DAY,
    LAST_DAY,
    Day,
    Instant,
    Items,
    Matches,
    Truth,
    Whole,
)

#: What a field may be sent by mistake or malice; much of it is right for some other field.
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            1,
            -1,
            10**30,
            3.0,
            1.5,
            "",
            " ",
            "3",
            "x",
            "X1",
            "20560",
            "a\nb",
            "é",
            "\u2028",
        ),
        *(
            "in",
            "visit.voided",
            "2026-03-04",
            "2026-02-30",
            "2026-03-04T10:00:00Z",
            "9999-12-31",
            "٢٠٢٦-03-04",
        ),
        *([], [None], ["x"], [[]], {}, {"x": 1}, [{"procedure_code": "20560"}], {"number": "A1"}, "y" * 201),
    ]
)


def right(field: Any) -> st.SearchStrategy[Any]:
    """Values that a field accepts, drawn from its own rules."""
    rules = {type(rule): rule for rule in field.validators}
    if isinstance(field, fields.Nested):
        return document(field.schema, sound=True)
    if isinstance(field, Items):
        length = rules[validate.Length]
        least = length.min or 0
        return st.lists(right(field.inner), min_size=least, max_size=min(length.max, least + 2))
    return _right_scalar(field, rules)


def _right_scalar(field: Any, rules: dict[Any, Any]) -> st.SearchStrategy[Any]:
    kinds: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
        Whole: lambda: st.integers(rules[validate.Range].min, rules[validate.Range].max),
        Truth: st.booleans,
        Day: lambda: st.dates(FIRST_DAY, LAST_DAY).map(str),
        Instant: lambda: st.just("2026-03-04T10:00:00+01:00"),
        fields.Raw: lambda: ODD,
    }
    if type(field) in kinds:
        return kinds[type(field)]()
    if validate.OneOf in rules:
        return st.sampled_from(rules[validate.OneOf].choices)
    return st.from_regex(rules[Matches].regex, fullmatch=True)


def document(schema: Schema, *, sound: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Objects for a schema: all of them right, or with something odd here and there."""
    values = {}
    for name, field in schema.load_fields.items():
        good = right(field) | st.none() if field.allow_none else right(field)
        values[name] = good if sound else st.one_of(good, good, good, ODD)
    needed = {name: value for name, value in values.items() if sound and schema.load_fields[name].required}
    further = {name: value for name, value in values.items() if name not in needed}
    if not sound:
        further["colour"] = ODD
    return st.fixed_dictionaries(needed, optional=further)
