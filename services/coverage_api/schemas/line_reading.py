"""Reads JSON texts that are plainly valid, many at a time, straight into objects, by the same schemas.

msgspec decodes a text into an object of a type that is made from a schema's fields: names and kinds are
settled then. What form the values must have is asked once for all texts, since values repeat. Whatever
else there is (null, a list or an object in which nothing is said, a repeated name, a field with rules of
its own, faults) is left to the closer reading, so that every message and every edge case stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from marshmallow import Schema, fields, missing, validate
from msgspec import UNSET, Meta, UnsetType

from services.coverage_api.schemas.fields import Code, Day, Identifier, Items, Slug, Text, Truth, Whole, Word
from services.coverage_api.schemas.plain_reading import (
    Accepts,
    acceptance,
    has_rules_of_its_own,
    named_fields,
)

#: What each of these objects has at some place, or what is in the lists that they have there.
_Members: TypeAlias = Callable[[Iterable[Any]], Iterable[Any]]

#: Kinds of text whose form is asked for. Of the other kinds of value the type says everything.
_TEXTS = frozenset({Text, Identifier, Code, Slug, Day})

_encode = msgspec.json.Encoder().encode


def normal_form(item: Any) -> bytes:
    """The JSON of an object that was read: names in order, without what is UNSET."""
    return _encode(item)


class PlainTexts:
    """The texts of one kind of object. Built once and shared by all threads."""

    def __init__(self, schema: Schema, tidied: Collection[str] = ()) -> None:
        """Read by `schema`. Within the objects in fields of these names an empty list says nothing."""
        self._kind = _Kind(schema, frozenset(tidied))
        self._decode = msgspec.json.Decoder(self._kind.type).decode

    def read(self, texts: Iterable[bytes]) -> list[Any | None]:
        """For each text an object with the schema's fields as attributes; None if it is not plainly valid.

        What was not said is there with its default, or is UNSET.
        """
        return self._settled([self._decoded(text) for text in texts])

    def _settled(self, items: list[Any | None]) -> list[Any | None]:
        """These objects, completed; None for those with a value that does not have its form."""
        if self._kind.settles([item for item in items if item is not None]):
            return items
        if len(items) == 1:
            return [None]
        half = len(items) // 2
        return self._settled(items[:half]) + self._settled(items[half:])

    def _decoded(self, text: bytes) -> Any | None:
        try:
            item = self._decode(text)
        except (ValueError, RecursionError):  # msgspec's own, not UTF-8, or nested too deeply
            return None
        again = _encode(item)
        # Of a repeated name the last is kept, so there are fewer colons than were read. One that is
        # escaped within a text would make up for it.
        if again.count(b":") != text.count(b":") or b"\\u003" in text or b"{}" in again:
            return None
        return item


class _Kind:
    """The objects of one schema: their type, and what is asked of their members."""

    def __init__(self, schema: Schema, tidied: frozenset[str], *, is_tidied: bool = False) -> None:
        self._tidied = tidied
        self._defaults: list[tuple[str, Callable[[], Any]]] = []
        self._forms: list[tuple[_Members, Accepts]] = []
        self._objects: list[tuple[_Members, _Kind]] = []
        members = []
        for name, field in sorted(named_fields(schema)):
            kind = self._type_of(field, name, partial(_each, attrgetter(name)), least=int(is_tidied))
            members.append((name, kind) if field.required else (name, kind | UnsetType, UNSET))
            default = field.load_default
            if default is not missing and not (is_tidied and type(field) is Items):
                self._defaults.append((name, default if callable(default) else partial(_same, default)))
        name = type(schema).__name__.removesuffix("Schema")
        self.type: Any = msgspec.defstruct(name, members, kw_only=True, forbid_unknown_fields=True, gc=False)

    def _type_of(self, field: Any, name: str, members: _Members, least: int = 0) -> Any:
        """The type of a field's values, which are `members` of the objects.

        For a field that is not known here it is that of UNSET alone, which no text says.
        """
        kind, accepts = type(field), acceptance(field)
        if accepts is None or len(field.validators) > 1:
            return UnsetType
        rule = field.validators[0] if field.validators else None
        if kind in _TEXTS:
            self._forms.append((members, accepts))
            return str
        if kind is Truth:
            return bool
        if kind is Items and type(rule) is validate.Length:
            bounds = Meta(min_length=max(rule.min or 0, least), max_length=rule.max)
            item: Any = self._type_of(field.inner, name, partial(_each_in, members))
            return Annotated[list[item], bounds]
        if kind is fields.Nested and not (field.many or rule or has_rules_of_its_own(field.schema)):
            inner = _Kind(field.schema, self._tidied, is_tidied=name in self._tidied)
            self._objects.append((members, inner))
            return inner.type
        return _bounded(kind, rule)

    def settles(self, items: Sequence[Any]) -> bool:
        """Put defaults where nothing was said; whether all that was said has the form that it must have."""
        for name, default in self._defaults:
            for item in items:
                if getattr(item, name) is UNSET:
                    setattr(item, name, default())
        for members, accepts in self._forms:
            said = set(members(items))
            said.discard(UNSET)
            if not all(map(accepts, said)):
                return False
        return all(
            kind.settles([inner for inner in members(items) if inner is not UNSET])
            for members, kind in self._objects
        )


def _bounded(kind: type, rule: Any) -> Any:
    """The type of words or whole numbers that a validator bounds."""
    if kind is Word and type(rule) is validate.OneOf:
        return Literal[tuple(rule.choices)]
    if kind is Whole and type(rule) is validate.Range:
        return Annotated[int, Meta(ge=rule.min, le=rule.max)]
    return UnsetType


def _same(value: Any) -> Any:
    """A default that nobody changes."""
    return value


def _each(get: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """A member of each of these objects."""
    return map(get, items)


def _each_in(members: _Members, items: Iterable[Any]) -> Iterator[Any]:
    """What is in these objects' members, which are lists."""
    return chain.from_iterable(found for found in members(items) if found is not UNSET)
