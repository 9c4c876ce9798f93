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

#: Whether all of these, each there once, are accepted.
_AcceptsAll: TypeAlias = Callable[[Collection[Any]], bool]

#: Kinds of text whose form is asked for. Of the other kinds of value the type says everything.
_TEXTS = frozenset({Text, Identifier, Code, Slug, Day})

#: msgspec's own, not UTF-8, or nested too deeply.
_UNREADABLE = (ValueError, RecursionError)

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

    def read(self, texts: Sequence[bytes]) -> list[tuple[Any, bytes] | None]:
        """For each text an object with the schema's fields as attributes, and its normal form.

        None for a text that is not plainly valid. What was not said is there with its default, or is UNSET.
        """
        items = self._decoded(texts)
        there = items if all(items) else [item for item in items if item is not None]
        kinds = [*self._kind.within(there)]
        some_say_nothing = any(kind.some_say_nothing(found) for kind, found in kinds)
        put_in = sum(kind.complete(found) for kind, found in kinds)
        if not all(kind.accepts(found) for kind, found in kinds):
            items = self._with_their_form(items)
        forms = [None if item is None else _encode(item) for item in items]
        if some_say_nothing or not _says_as_much(texts, forms, put_in):
            forms = [
                form if form is None or self._says_it_once(text) else None
                for text, form in zip(texts, forms, strict=True)
            ]
        return [None if form is None else (item, form) for item, form in zip(items, forms, strict=True)]

    def _decoded(self, texts: Iterable[bytes]) -> list[Any | None]:
        """What each text says, None where it cannot be said; asked line by line only where one cannot."""
        try:
            return list(map(self._decode, texts))
        except _UNREADABLE:
            return [self._decoded_alone(text) for text in texts]

    def _decoded_alone(self, text: bytes) -> Any | None:
        try:
            return self._decode(text)
        except _UNREADABLE:
            return None

    def _with_their_form(self, items: list[Any | None]) -> list[Any | None]:
        """These objects; None for those with a value that does not have its form."""
        kinds = self._kind.within([item for item in items if item is not None])
        if all(kind.accepts(found) for kind, found in kinds):
            return items
        if len(items) == 1:
            return [None]
        half = len(items) // 2
        return self._with_their_form(items[:half]) + self._with_their_form(items[half:])

    def _says_it_once(self, text: bytes) -> bool:
        """Whether a text that was read has no name twice, and no object in which nothing is said."""
        item = self._decode(text)
        kinds = self._kind.within([item])
        says_nothing = any(kind.some_say_nothing(found) for kind, found in kinds)
        return not says_nothing and _says_as_much([text], [_encode(item)], 0)


def _says_as_much(texts: Sequence[bytes], forms: Sequence[bytes | None], put_in: int) -> bool:
    """Whether these normal forms have as many colons as their texts, but for `put_in`; asked of all at once.

    Of a repeated name the last is kept, so there are fewer than were read. One that is escaped within a text
    would make up for it.
    """
    if not all(forms):
        texts = [text for text, form in zip(texts, forms, strict=True) if form is not None]
    text, form = b"".join(texts), b"".join(filter(None, forms))
    as_many = form.count(b":") == text.count(b":") + put_in
    return as_many and (b"\\" not in text or b"\\u003" not in text)


class _Kind:
    """The objects of one schema: their type, and what is asked of their members."""

    def __init__(self, schema: Schema, tidied: frozenset[str], *, is_tidied: bool = False) -> None:
        self._tidied = tidied
        #: Names, what they mean where they are absent, and how many colons that puts into the normal form.
        self._defaults: list[tuple[str, Callable[[], Any], int]] = []
        self._forms: list[tuple[_Members, _AcceptsAll]] = []
        self._objects: list[tuple[_Members, _Kind]] = []
        members = []
        for name, field in sorted(named_fields(schema)):
            kind = self._type_of(field, name, partial(_each, attrgetter(name)), least=int(is_tidied))
            members.append((name, kind) if field.required else (name, kind | UnsetType, UNSET))
            default = field.load_default
            if default is not missing and not (is_tidied and type(field) is Items):
                make = default if callable(default) else partial(_same, default)
                self._defaults.append((name, make, _encode({name: make()}).count(b":")))
        name = type(schema).__name__.removesuffix("Schema")
        self.type: Any = msgspec.defstruct(name, members, kw_only=True, forbid_unknown_fields=True, gc=False)
        #: The object in which nothing is said; None where something must be.
        self._blank = None if any(len(member) == 2 for member in members) else self.type()

    def _type_of(self, field: Any, name: str, members: _Members, least: int = 0) -> Any:
        """The type of a field's values, which are `members` of the objects.

        For a field that is not known here it is that of UNSET alone, which no text says.
        """
        kind, accepts = type(field), acceptance(field)
        if accepts is None or len(field.validators) > 1:
            return UnsetType
        rule = field.validators[0] if field.validators else None
        if kind in _TEXTS:
            self._forms.append((members, _accepting_all(field, accepts)))
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

    def within(self, items: Sequence[Any]) -> Iterator[tuple[_Kind, Sequence[Any]]]:
        """These objects of this kind, and those of each kind that are in them."""
        yield self, items
        for members, kind in self._objects:
            yield from kind.within([inner for inner in members(items) if inner is not UNSET])

    def some_say_nothing(self, items: Sequence[Any]) -> bool:
        """Whether nothing is said in some of these objects, which are not completed yet."""
        return self._blank is not None and self._blank in items

    def complete(self, items: Sequence[Any]) -> int:
        """Put defaults where nothing was said; how many colons they put into the normal forms."""
        put_in = 0
        for name, default, colons in self._defaults:
            for item in items:
                if getattr(item, name) is UNSET:
                    setattr(item, name, default())
                    put_in += colons
        return put_in

    def accepts(self, items: Sequence[Any]) -> bool:
        """Whether all that was said in these objects, not within others in them, has its form."""
        for members, accepts in self._forms:
            said = set(members(items))
            said.discard(UNSET)
            if not accepts(said):
                return False
        return True


def _accepting_all(field: Any, accepts: Accepts) -> _AcceptsAll:
    """Whether a field accepts each of these texts."""
    if type(field) is Identifier:
        return lambda said: field.accepts_at_a_glance(said) or all(map(accepts, said))
    return lambda said: all(map(accepts, said))


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
