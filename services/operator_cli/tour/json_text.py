"""JSON laid out for reading: what fits on a line stays on one, and what was left out is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

INDENT = 2
ELLIPSIS = "..."
# Of a longer list, of which not everything is to be shown, the first ones and the last are.
ITEMS_SHOWN_MAX = 4

#: What to show of a value: everything, or of an object (or of each object of a list) these fields.
Shown = None | Mapping[str, "Shown"]


def fields(*names: str, **nested: Shown) -> Shown:
    """Show these fields of an object, the nested ones in part, in the order they are given."""
    return {**dict.fromkeys(names), **nested}


def pick(value: Any, shown: Shown) -> Any:
    """The part of a JSON value that is to be shown, with an ellipsis where there is more."""
    if shown is None or value is None:
        return value
    if isinstance(value, list):
        items = [pick(item, shown) for item in value]
        return items if len(items) <= ITEMS_SHOWN_MAX else [*items[:2], {ELLIPSIS: None}, items[-1]]
    if not isinstance(value, dict):
        return value
    picked = {name: pick(value[name], inner) for name, inner in shown.items() if name in value}
    return picked if picked.keys() == value.keys() else {**picked, ELLIPSIS: None}


def json_text(value: Any, width: int, indent: int = 0, before: int = 0) -> str:
    """A value as JSON, in which an object or list takes one line if that fits the width.

    `before` is how much of its first line is taken already.
    """
    flat = _flat(value)
    if indent + before + len(flat) < width or not value or not isinstance(value, dict | list):
        return flat
    inner = indent + INDENT
    if isinstance(value, list):
        parts, brackets = [json_text(item, width, inner) for item in value], "[]"
    else:
        parts, brackets = [_member(name, item, width, inner) for name, item in value.items()], "{}"
    lines = ",\n".join(" " * inner + part for part in parts)
    return f"{brackets[0]}\n{lines}\n{' ' * indent}{brackets[1]}"


def _member(name: str, value: Any, width: int, indent: int) -> str:
    if name == ELLIPSIS:
        return ELLIPSIS
    label = f"{json.dumps(name)}: "
    return label + json_text(value, width, indent, before=len(label))


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_flat(item) for item in value) + "]"
    if isinstance(value, dict):
        if list(value) == [ELLIPSIS]:
            return ELLIPSIS
        members = (ELLIPSIS if k == ELLIPSIS else f"{json.dumps(k)}: {_flat(v)}" for k, v in value.items())
        return "{" + ", ".join(members) + "}"
    return json.dumps(value, ensure_ascii=False)
