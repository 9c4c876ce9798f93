"""Differences between documents, in a form that people can read."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.differences import differences

plain = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from("ab")
documents = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("id", "x", "y")), inner, max_size=3)
    ),
    max_leaves=12,
)


def lines(before: Any, after: Any) -> list[str]:
    """The differences as they are shown."""
    return [str(difference) for difference in differences(before, after)]


def test_changed_added_and_removed_keys_are_named_by_their_path() -> None:
    """Each difference is one line with its key path."""
    before = {"effective": {"from": "2021-01-01"}, "title": "old", "notes": ["a"]}
    after = {"effective": {"from": "2021-01-01", "until": "2027-01-01"}, "title": "new"}
    assert lines(before, after) == [
        '+ effective.until: "2027-01-01"',
        '~ title: "old" -> "new"',
        '- notes: ["a"]',
    ]


def test_items_are_matched_by_what_identifies_them() -> None:
    """An item put in front moves no other; the path names the item."""
    before = {"limits": [{"limit_id": "dn", "allowed": 20}]}
    after = {"limits": [{"limit_id": "all", "allowed": 60}, {"limit_id": "dn", "allowed": 24}]}
    assert lines(before, after) == [
        "~ limits[dn].allowed: 20 -> 24",
        '+ limits[all]: {"limit_id": "all", "allowed": 60}',
    ]


def test_items_without_a_name_are_matched_by_place() -> None:
    """Where nothing identifies items in both lists, the first is compared with the first."""
    before = {"applies_to": [{"market": ["group"]}]}
    after = {"applies_to": [{"market": ["individual"]}, {"payers": ["p"]}]}
    assert lines(before, after) == [
        '~ applies_to[0].market: ["group"] -> ["individual"]',
        '+ applies_to[1]: {"payers": ["p"]}',
    ]


def test_another_order_of_items_is_a_difference() -> None:
    """Of rules the first that holds decides, so an exchanged pair is said."""
    before = {"rules": [{"id": "a"}, {"id": "b"}]}
    after = {"rules": [{"id": "b"}, {"id": "c"}, {"id": "a"}]}
    assert lines(before, after) == [
        '~ rules (order): ["a", "b"] -> ["b", "a"]',
        '+ rules[c]: {"id": "c"}',
    ]


def test_true_is_not_one() -> None:
    """A flag that became a number differs."""
    assert lines({"a": True}, {"a": 1}) == ["~ a: true -> 1"]


@given(documents)
def test_equal_documents_do_not_differ(document: Any) -> None:
    """Whatever it is, it does not differ from a copy of itself."""
    assert lines(document, json.loads(json.dumps(document))) == []


@given(documents, documents)
def test_unequal_documents_differ(one: Any, other: Any) -> None:
    """Whatever is not the same data, order of lists included, has a difference."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert same == (lines(one, other) == [])
