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

#: Whether all of these that are not UNSET are accepted.
_AcceptsAll: TypeAlias = Callable[[Iterable[Any]], bool]

#: Kinds of text whose form is asked for. Of the other kinds of value the type says everything.
_TEXTS = frozenset({Text, Identifier, Code, Slug, Day})

#: msgspec's own, not UTF-8, or nested too deeply.
_UNREADABLE = (ValueError, RecursionError)

_encode = msgspec.json.Encoder().encode

#: Parts at one place of a kind of object that are remembered, and how long their texts may be.
_FORMS_REMEMBERED = 4_096
_FORM_BYTES_REMEMBERED = 1_024


def normal_form(item: Any) -> bytes:
    """The JSON of an object that was read: names in order, without what is UNSET."""
    return _encode(item)


class PlainTexts:
    """The texts of one kind of object. Built once and shared by all threads."""

    def __init__(self, schema: Schema, tidied: Collection[str] = ()) -> None:
        """Read by `schema`. Within the objects in fields of these names an empty list says nothing."""
        self._texts = _Texts(_Kind.of_schema(schema, frozenset(tidied), has_parts=True))

    def read(self, texts: Sequence[bytes]) -> list[tuple[Any, bytes] | None]:
        """For each text an object with the schema's fields as attributes, and its normal form.

        None for a text that is not plainly valid. What was not said is there with its default, or is UNSET.
        What is an object itself, or a list of objects, is there as JSON, in its own normal form.
        """
        return self._texts.read(texts)


class _Texts:
    """JSON texts of one kind of values."""

    def __init__(self, kind: _Kind) -> None:
        self._kind = kind
        self._decode = msgspec.json.Decoder(kind.type).decode

    def read(self, texts: Sequence[bytes]) -> list[tuple[Any, bytes] | None]:
        """For each text its value and its normal form; None for one that is not plainly valid."""
        items = self._decoded(texts)
        put_in = self._kind.put_parts_in_form(items)
        there = items if all(items) else [item for item in items if item is not None]
        kinds = [*self._kind.within(there)]
        some_say_nothing = any(kind.some_say_nothing(found) for kind, found in kinds)
        put_in += sum(kind.complete(found) for kind, found in kinds)
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
        """These values; None for those in which something does not have its form."""
        kinds = self._kind.within([item for item in items if item is not None])
        if all(kind.accepts(found) for kind, found in kinds):
            return items
        if len(items) == 1:
            return [None]
        half = len(items) // 2
        return self._with_their_form(items[:half]) + self._with_their_form(items[half:])

    def _says_it_once(self, text: bytes) -> bool:
        """Whether a text that was read has no name twice, and no object in which nothing is said."""
        items = [self._decode(text)]
        put_in = self._kind.put_parts_in_form(items)
        kinds = self._kind.within(items)
        says_nothing = any(kind.some_say_nothing(found) for kind, found in kinds)
        return not says_nothing and _says_as_much([text], [_encode(items[0])], put_in)


#: The normal form of a part, None if it is not plain, and how many colons more it has than the part's text.
_Form: TypeAlias = tuple[msgspec.Raw | None, int]


class _Part:
    """What objects have at one place, where it is an object itself, or a list of objects.

    Of a stream's objects most say the same there as others, in the same bytes: it is read once for all of
    them, and remembered. What it comes to follows from the bytes alone. Shared by threads, of which two may
    read the same.
    """

    def __init__(self, name: str, kind: _Kind) -> None:
        self._name = name
        self._get = attrgetter(name)
        self._texts = _Texts(kind)
        self._remembered: dict[bytes, _Form] = {}

    def put_in_form(self, items: list[Any | None]) -> int:
        """Put this part's normal form into each of `items` in place of its text.

        Returns how many colons more than the texts all of them have. An item of which this part is not plain
        becomes None.
        """
        there = items if all(items) else [item for item in items if item is not None]
        said = list(map(self._get, there))
        silent = said.count(UNSET)
        if silent == len(said):
            return 0
        if silent:
            there = [item for item, text in zip(there, said, strict=True) if text is not UNSET]
            said = list(map(self._get, there))
        texts, put_in = list(map(bytes, said)), 0
        forms, name = self._forms_of(set(texts)), self._name
        for item, (form, colons) in zip(there, map(forms.__getitem__, texts), strict=True):
            setattr(item, name, form)
            put_in += colons
        if _NOT_PLAIN in forms.values():
            items[:] = [None if item is None or self._get(item) is None else item for item in items]
        return put_in

    def _forms_of(self, texts: Iterable[bytes]) -> dict[bytes, _Form]:
        """The normal form of each of these texts."""
        forms, unread = {}, []
        for text in texts:
            form = self._remembered.get(text)
            if form is None:
                unread.append(text)
            else:
                forms[text] = form
        for text, read in zip(unread, self._texts.read(unread) if unread else (), strict=True):
            forms[text] = _form_of(text, read)
            if len(text) <= _FORM_BYTES_REMEMBERED:
                if len(self._remembered) >= _FORMS_REMEMBERED:
                    self._remembered.clear()
                self._remembered[text] = forms[text]
        return forms


_NOT_PLAIN: _Form = (None, 0)

_NOTHING = frozenset({UNSET})


def _form_of(text: bytes, read: tuple[Any, bytes] | None) -> _Form:
    """What is to be remembered of a text that was read. It has no name twice, so it has all its colons."""
    if read is None:
        return _NOT_PLAIN
    _, form = read
    return msgspec.Raw(form), form.count(b":") - text.count(b":")


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
    """Values of one kind: their type, and what is asked of them and of their members."""

    def __init__(self, tidied: frozenset[str]) -> None:
        self._tidied = tidied
        self.type: Any = UnsetType
        #: Names, what they mean where they are absent, and how many colons that puts into the normal form.
        self._defaults: list[tuple[str, Any, int]] = []
        self._forms: list[tuple[_Members, _AcceptsAll]] = []
        self._objects: list[tuple[_Members, _Kind]] = []
        self._parts: list[_Part] = []
        #: The object in which nothing is said; None where something must be.
        self._blank: Any = None

    @classmethod
    def of_schema(
        cls, schema: Schema, tidied: frozenset[str], *, is_tidied: bool = False, has_parts: bool = False
    ) -> _Kind:
        """The objects of one schema. If they have parts, what is in these is not among their members."""
        kind = cls(tidied)
        members = []
        for name, field in sorted(named_fields(schema)):
            if has_parts and _holds_objects(field):
                kind._parts.append(_Part(name, cls.of_field(field, name, tidied)))
                known: Any = msgspec.Raw
            else:
                known = kind._type_of(field, name, partial(_each, attrgetter(name)), least=int(is_tidied))
            members.append((name, known) if field.required else (name, known | UnsetType, UNSET))
            default = field.load_default
            if default is not missing and not (is_tidied and type(field) is Items):
                meant = default() if callable(default) else default
                kind._defaults.append((name, meant, _encode({name: meant}).count(b":")))
        name = type(schema).__name__.removesuffix("Schema")
        kind.type = msgspec.defstruct(name, members, kw_only=True, forbid_unknown_fields=True, gc=False)
        kind._blank = None if any(len(member) == 2 for member in members) else kind.type()
        return kind

    @classmethod
    def of_field(cls, field: Any, name: str, tidied: frozenset[str]) -> _Kind:
        """The values of one field."""
        kind = cls(tidied)
        kind.type = kind._type_of(field, name, iter)
        return kind

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
            inner = _Kind.of_schema(field.schema, self._tidied, is_tidied=name in self._tidied)
            self._objects.append((members, inner))
            return inner.type
        return _bounded(kind, rule)

    def within(self, items: Sequence[Any]) -> Iterator[tuple[_Kind, Sequence[Any]]]:
        """These objects of this kind, and those of each kind that are in them."""
        yield self, items
        for members, kind in self._objects:
            yield from kind.within([inner for inner in members(items) if inner is not UNSET])

    def put_parts_in_form(self, items: list[Any | None]) -> int:
        """Put each part's normal form into each of `items` in place of its text.

        Returns how many colons more than the texts all of them have. An item of which a part is not plain
        becomes None.
        """
        return sum(part.put_in_form(items) for part in self._parts)

    def some_say_nothing(self, items: Sequence[Any]) -> bool:
        """Whether nothing is said in some of these objects, which are not completed yet."""
        return self._blank is not None and self._blank in items

    def complete(self, items: Sequence[Any]) -> int:
        """Put defaults where nothing was said; how many colons they put into the normal forms."""
        put_in = 0
        for name, meant, colons in self._defaults:
            silent = [item for item in items if getattr(item, name) is UNSET]
            for item in silent:
                setattr(item, name, meant)
            put_in += colons * len(silent)
        return put_in

    def accepts(self, items: Sequence[Any]) -> bool:
        """Whether all that was said in these objects, not within others in them, has its form."""
        return all(accepts(members(items)) for members, accepts in self._forms)


def _accepting_all(field: Any, accepts: Accepts) -> _AcceptsAll:
    """Whether a field accepts each text that is said."""
    if type(field) is Identifier and field.required:
        # Nearly all are different: to find that out takes longer than to ask of each.
        return lambda members: _all_ids(field, accepts, [*members])
    if type(field) is Identifier:
        return lambda members: _all_ids(field, accepts, set(members) - _NOTHING)
    return lambda members: all(map(accepts, set(members) - _NOTHING))


def _all_ids(field: Identifier, accepts: Accepts, ids: Collection[str]) -> bool:
    return field.accepts_at_a_glance(ids) or all(map(accepts, ids))


def _bounded(kind: type, rule: Any) -> Any:
    """The type of words or whole numbers that a validator bounds."""
    if kind is Word and type(rule) is validate.OneOf:
        return Literal[tuple(rule.choices)]
    if kind is Whole and type(rule) is validate.Range:
        return Annotated[int, Meta(ge=rule.min, le=rule.max)]
    return UnsetType


def _holds_objects(field: Any) -> bool:
    """Whether a field's value is an object, or a list of objects."""
    return type(field) is fields.Nested or (type(field) is Items and type(field.inner) is fields.Nested)


def _each(get: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """A member of each of these objects."""
    return map(get, items)


def _each_in(members: _Members, items: Iterable[Any]) -> Iterator[Any]:
    """What is in these objects' members, which are lists."""
    return chain.from_iterable(found for found in members(items) if found is not UNSET)
