"""JSON as the tour lays it out."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.operator_cli.tour.json_text import ELLIPSIS, fields, json_text, pick

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.integers(min_value=1, max_value=120))
def test_layout_never_changes_the_value(value: Any, width: int) -> None:
    """Whatever the width, what is printed is the same JSON."""
    if ELLIPSIS not in json.dumps(value):
        assert json.loads(json_text(value, width)) == value


def test_short_objects_take_one_line_and_long_ones_many() -> None:
    """A part is broken over lines only if it does not fit."""
    value = {"a": [1, 2], "long": {"text": "x" * 20}}
    assert json_text(value, 60) == '{"a": [1, 2], "long": {"text": "xxxxxxxxxxxxxxxxxxxx"}}'
    assert json_text(value, 45) == ('{\n  "a": [1, 2],\n  "long": {"text": "xxxxxxxxxxxxxxxxxxxx"}\n}')


def test_what_is_left_out_is_said() -> None:
    """An ellipsis stands where an object has more fields, or a list more items, than are shown."""
    value = {"used": 1, "period": {"start": "2026-01-01", "end": "2027-01-01"}, "version": 7}
    shown = pick(value, fields("used", period=fields("start")))
    assert json_text(shown, 80) == '{"used": 1, "period": {"start": "2026-01-01", ...}, ...}'
    events = {"events": [{"id": number} for number in range(9)]}
    assert json_text(pick(events, fields(events=fields("id"))), 80) == (
        '{"events": [{"id": 0}, {"id": 1}, ..., {"id": 8}]}'
    )


def test_everything_is_shown_unless_told_otherwise() -> None:
    """Without a choice of fields a value stays whole, and a field that is not there is not invented."""
    value = {"a": [{"b": 1}]}
    assert pick(value, None) == value
    assert pick(value, fields("a", "z")) == value
