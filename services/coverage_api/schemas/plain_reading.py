"""Reads what is plainly valid without marshmallow, at a fraction of the cost, by the same schemas.

A reader is made once from a schema's own fields and validators. It accepts only what it is certain
of; whatever else there is, faults and kinds of fields that it does not know included, it leaves to
marshmallow by raising `NotPlain`, so that every message and every edge case stays marshmallow's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, missing, validate

from services.coverage_api.schemas.fields import (
    Code,
    Day,
    Identifier,
    Items,
    Matches,
    Slug,
    Text,
    Truth,
    Whole,
    Word,
)

#: Makes of a JSON value what marshmallow's field would make of it, or raises NotPlain.
Take = Callable[[Any], Any]
#: Whether a value is accepted, as something true or false.
Accepts = Callable[[Any], object]
Maker = Callable[[Any, Accepts], Take]


class NotPlain(Exception):
    """It takes marshmallow to say what this value is."""


def plain_reader(schema: Schema) -> Take:
    """A function that loads plainly valid objects as `schema.load` does; for others it raises NotPlain."""
    if has_rules_of_its_own(schema):
        return _by_marshmallow(schema)
    # What is taken as it is, which most is, needs no call of ours: so it is asked here for its kind and form.
    plan = [
        (name, *_taken_as_it_is(field), _field_reader(field), _absence(field))
        for name, field in named_fields(schema)
    ]

    def read(data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            raise NotPlain
        left = len(data)
        loaded = {}
        for name, kind, accepts, take, absent in plan:
            if name in data:
                left -= 1
                value = data[name]
                loaded[name] = value if type(value) is kind and accepts(value) else take(value)
            elif absent is not None:
                loaded[name] = absent()
        if left:
            raise NotPlain
        return loaded

    return read


def has_rules_of_its_own(schema: Schema) -> bool:
    """Whether more is asked of the schema's objects than of each of their fields by itself."""
    return schema.unknown != RAISE or any(schema._hooks.values())  # noqa: SLF001 - marshmallow shows them nowhere else


def named_fields(schema: Schema) -> list[tuple[str, fields.Field[Any]]]:
    """The schema's fields by their names, which are the names in JSON too."""
    named = list(schema.load_fields.items())
    assert all(field.data_key is None and field.attribute is None for _, field in named), "one name for each"
    return named


def _by_marshmallow(schema: Schema) -> Take:
    """For objects with rules of their own: marshmallow itself."""

    def read(data: Any) -> Any:
        try:
            return schema.load(data)
        except ValidationError:
            raise NotPlain from None

    return read


def _taken_as_it_is(field: fields.Field[Any]) -> tuple[type | None, Accepts]:
    """The kind of JSON value that the field takes as it is, and which of them; None if it takes none so."""
    accepts = acceptance(field)
    kind = _KINDS.get(type(field))
    return (kind, accepts) if kind is not None and accepts is not None else (None, _never)


def _absence(field: fields.Field[Any]) -> Callable[[], Any] | None:
    """What stands for a value that is not there; None if nothing does. It raises NotPlain if one must be."""
    default = field.load_default
    if field.required:
        return partial(_never, None)
    if default is missing:
        return None
    return default if callable(default) else partial(_same, default)


def _same(value: Any) -> Any:
    """A default that nobody changes."""
    return value


def _field_reader(field: fields.Field[Any]) -> Take:
    """What a value becomes that is there; null only where the field allows it."""
    accepts = acceptance(field)
    make = _MAKERS.get(type(field))
    if accepts is None or make is None:
        return _never
    take = make(field, accepts)
    if not field.allow_none:
        return take
    return lambda value: None if value is None else take(value)


def _never(_value: Any) -> Any:
    raise NotPlain


def acceptance(field: Any) -> Accepts | None:
    """Whether a value of the right type passes the field's own rules; None if one is unknown here."""
    rules = [_rule(validator) for validator in field.validators]
    if isinstance(field, Day):
        rules.append(field.accepts)
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None
    return known[0] if len(known) == 1 else lambda value: all(rule(value) for rule in known)


def _rule(validator: Any) -> Accepts | None:
    """A validator of marshmallow as a plain question."""
    kind = type(validator)
    if kind is Matches:
        accepts: Accepts = validator.whole
        return accepts
    if kind is validate.OneOf:
        return frozenset(validator.choices).__contains__
    if kind is validate.Range and validator.min_inclusive and validator.max_inclusive:
        low, high = validator.min, validator.max
        return lambda number: bool(low <= number <= high)
    if kind is validate.Length and validator.equal is None:
        least, most = validator.min or 0, validator.max
        return lambda items: least <= len(items) <= most
    return None


def _exactly(kind: type) -> Maker:
    """Takes values of one type of JSON: true is no number, and text is nothing but text."""

    def make(_field: Any, accepts: Accepts) -> Take:
        def take(value: Any) -> Any:
            if type(value) is kind and accepts(value):
                return value
            raise NotPlain

        return take

    return make


def _items(field: Any, accepts: Accepts) -> Take:
    take_one = _field_reader(field.inner)

    def take(value: Any) -> Any:
        if type(value) is list and accepts(value):
            return [take_one(item) for item in value]
        raise NotPlain

    return take


def _nested(field: Any, _accepts: Accepts) -> Take:
    return _never if field.many or field.validators else plain_reader(field.schema)


def _raw(field: Any, _accepts: Accepts) -> Take:
    return _never if field.validators else lambda value: value


#: Kinds of fields that take values of one type of JSON as they are.
_KINDS: Mapping[type, type] = {
    Text: str,
    Identifier: str,
    Code: str,
    Slug: str,
    Word: str,
    Day: str,
    Whole: int,
    Truth: bool,
}

_MAKERS: Mapping[type, Maker] = {
    **{field: _exactly(kind) for field, kind in _KINDS.items()},
    Items: _items,
    fields.Nested: _nested,
    fields.Raw: _raw,
}
