"""What differs between two values of JSON data, key by key, in a form that people can read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Keys that name an item of a list, so that it is found again where others were put before it.
IDENTITIES = ("id", "limit_id", "code", "about", "document_id", "procedure_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A place where two values differ: its key path, and what is there as JSON; None where nothing is."""

    path: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        """The difference as one line: + is new, - is gone, ~ is changed."""
        if self.before is None:
            return f"+ {self.path}: {self.after}"
        if self.after is None:
            return f"- {self.path}: {self.before}"
        return f"~ {self.path}: {self.before} -> {self.after}"


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Every difference of `after` from `before`, in the order of keys.

    Mappings are compared key by key. Items of lists are matched by what identifies them (IDENTITIES)
    if each has that, uniquely, else by their place, and another order is a difference of its own; lists of
    plain values are compared as a whole.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in (*before, *(key for key in after if key not in before)):
            at = f"{path}.{key}" if path else str(key)
            yield from _of_part(before, after, key, at)
    elif _is_list_of_mappings(before) and _is_list_of_mappings(after):
        old, new = _items(before, after)
        yield from _of_order(
            [name for name in old if name in new], [name for name in new if name in old], path
        )
        for name in (*old, *(name for name in new if name not in old)):
            yield from _of_part(old, new, name, f"{path}[{name}]")
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield Difference(path=path or "(whole)", before=_text(before), after=_text(after))


def _of_order(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[Difference]:
    """The order of a list's items means something: of rules, the first that holds decides."""
    if before != after:
        yield Difference(path=f"{path} (order)", before=_text(before), after=_text(after))


def _of_part(
    before: Mapping[Any, Any], after: Mapping[Any, Any], key: Any, path: str
) -> Iterator[Difference]:
    if key not in before:
        yield Difference(path=path, before=None, after=_text(after[key]))
    elif key not in after:
        yield Difference(path=path, before=_text(before[key]), after=None)
    else:
        yield from differences(before[key], after[key], path)


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _items(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """The items of two lists by what identifies them in both, or by their places."""
    for key in IDENTITIES:
        names = [[item.get(key) for item in items] for items in (before, after)]
        if all(
            all(isinstance(name, str) for name in found) and len(set(found)) == len(found) for found in names
        ):
            old, new = (
                dict(zip(found, items, strict=True))
                for found, items in zip(names, (before, after), strict=True)
            )
            return old, new
    return dict(enumerate(before)), dict(enumerate(after))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
