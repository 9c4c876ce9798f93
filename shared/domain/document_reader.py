"""Reads data of rule files key by key and notes what is wrong with the key path, instead of stopping.

So that one look at a broken rule document shows every fault in it. A fault names where (`rules[0].when`),
and what was expected there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeVar

from shared.domain.errors import Invalid

T = TypeVar("T")
KeyPath = tuple[str | int, ...]
_IDENTIFIER = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")


#: No count, version or number of days in a rule document comes near it; sums of a few still fit a column.
WHOLE_MAX = 999_999


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document: where, and what was expected there."""

    path: KeyPath
    expected: str

    @property
    def key_path(self) -> str:
        """The place as people write it: `rules[0].when.diagnosis`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text or "(document)"

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer (RFC 6901)."""
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in self.path)


class RuleDocumentInvalid(Invalid):
    """The rule document cannot be used as it stands."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Keep every fault; the message names the first ones."""
        self.faults = tuple(faults)
        super().__init__([(fault.pointer, fault.expected) for fault in self.faults])
        shown = "; ".join(f"{fault.key_path}: {fault.expected}" for fault in self.faults[:5])
        self.args = (f"rule document refused: {shown}",)


@dataclass(slots=True)
class Faults:
    """The faults found so far."""

    found: list[Fault] = field(default_factory=list)

    def note(self, path: KeyPath, expected: str) -> None:
        """Note that `expected` was not what is at `path`."""
        self.found.append(Fault(path, expected))

    def raise_if_any(self) -> None:
        """Raise RuleDocumentInvalid if anything was noted."""
        if self.found:
            raise RuleDocumentInvalid(self.found)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    names = {bool: "true or false", int: "a number", float: "a fraction", str: "text", date: "a date"}
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return names.get(type(value), type(value).__name__)


class Reader:
    """One mapping of a document. Reading a key marks it known; `finish` refuses the others."""

    def __init__(self, value: object, path: KeyPath, faults: Faults) -> None:
        """Read `value` at `path`; anything but a mapping is a fault and reads as empty."""
        self.path = path
        self.faults = faults
        self._known: set[str] = set()
        self._data: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            self._data = value
        else:
            faults.note(path, f"expected a mapping, found {_kind(value)}")

    def __contains__(self, key: str) -> bool:
        """Whether a key is there with a value."""
        return self._data.get(key) is not None

    @property
    def data(self) -> Mapping[str, Any]:
        """The mapping as it was given."""
        return self._data

    def names(self) -> tuple[str, ...]:
        """The keys that are there, in order."""
        return tuple(str(key) for key in self._data)

    def at(self, key: str) -> KeyPath:
        """The path of a key."""
        return (*self.path, key)

    def raw(self, key: str) -> Any:
        """The value of a key as it is; None if absent."""
        self._known.add(key)
        return self._data.get(key)

    def fault(self, key: str, expected: str) -> None:
        """Note a fault at a key."""
        self.faults.note(self.at(key), expected)

    def finish(self) -> None:
        """Refuse the keys that nobody read."""
        for key in self._data:
            if key not in self._known:
                known = ", ".join(sorted(self._known))
                self.faults.note((*self.path, str(key)), f"unknown key; expected one of: {known}")

    def text(self, key: str, *, choices: Iterable[str] | None = None) -> str | None:
        """Text, or None if absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self.fault(key, f"expected text, found {_kind(value) if value != '' else 'an empty text'}")
            return None
        if choices is not None and value not in tuple(choices):
            self.fault(key, f"expected one of: {', '.join(choices)}")
            return None
        return value

    def required_text(self, key: str, *, choices: Iterable[str] | None = None) -> str:
        """Text that must be there; a fault, read as the first choice or '', if not."""
        options = tuple(choices) if choices is not None else None
        if self._data.get(key) is None:
            wanted = f"one of: {', '.join(options)}" if options else "text"
            self._known.add(key)
            self.fault(key, f"is required; expected {wanted}")
        return self.text(key, choices=options) or (options[0] if options else "")

    def identifier(self, key: str) -> str:
        """A required id: lower-case words joined by `-`, `_` or `.`."""
        value = self.required_text(key)
        if value and not _IDENTIFIER.fullmatch(value):
            self.fault(key, "expected an id of lower-case letters and digits, joined by '-', '_' or '.'")
        return value

    def whole(self, key: str, *, at_least: int = 0, at_most: int = WHOLE_MAX) -> int | None:
        """A whole number of at least `at_least` and at most `at_most`, or None if absent."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            self.fault(key, f"expected a whole number of at least {at_least}")
            return None
        if value > at_most:
            self.fault(key, f"expected a whole number of at most {at_most}")
            return None
        return value

    def required_whole(self, key: str, *, at_least: int = 0) -> int:
        """A whole number that must be there; a fault, read as `at_least`, if not."""
        if self.raw(key) is None:
            self.fault(key, f"is required; expected a whole number of at least {at_least}")
        value = self.whole(key, at_least=at_least) if self._data.get(key) is not None else None
        return at_least if value is None else value

    def flag(self, key: str, *, default: bool | None = None) -> bool | None:
        """True or false; `default` if absent."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(key, f"expected true or false, found {_kind(value)}")
            return default
        return value

    def day(self, key: str) -> date | None:
        """A calendar date (`2021-01-01`), or None if absent. A date-time is a fault (contract I12)."""
        value = self.raw(key)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            try:
                return date.fromisoformat(value)
            except ValueError:
                pass
        self.fault(key, "expected a calendar date, as 2021-01-01")
        return None

    def texts(self, key: str, *, choices: Iterable[str] | None = None) -> tuple[str, ...] | None:
        """A list of texts without repeats and not empty, or None if absent."""
        value = self.raw(key)
        return None if value is None else read_texts(value, self.at(key), self.faults, choices)

    def child(self, key: str) -> Reader | None:
        """The mapping at a key, or None if absent."""
        value = self.raw(key)
        return None if value is None else Reader(value, self.at(key), self.faults)

    def each(self, key: str, read: Callable[[Reader], T]) -> tuple[T, ...]:
        """What `read` makes of each mapping of the list at a key; empty if absent."""
        value = self.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.fault(key, f"expected a list, found {_kind(value)}")
            return ()
        return tuple(
            read(Reader(item, (*self.at(key), index), self.faults)) for index, item in enumerate(value)
        )


def read_texts(
    value: object, path: KeyPath, faults: Faults, choices: Iterable[str] | None = None
) -> tuple[str, ...]:
    """A list of texts without repeats and not empty; faults read as nothing."""
    if not isinstance(value, list | tuple) or not value:
        faults.note(path, f"expected a list of at least one text, found {_kind(value) if value else 'none'}")
        return ()
    options = tuple(choices) if choices is not None else None
    found: list[str] = []
    for index, item in enumerate(value):
        if not isinstance(item, str) or not item.strip():
            faults.note((*path, index), f"expected text in quotes, found {_kind(item)}")
        elif options is not None and item not in options:
            faults.note((*path, index), f"expected one of: {', '.join(options)}")
        elif item in found:
            faults.note((*path, index), "is listed twice")
        else:
            found.append(item)
    return tuple(found)
