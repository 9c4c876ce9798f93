"""What answers are described with: objects that may grow, and the kinds of fields in them."""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, Schema, fields, validate

DAY = {"format": "date"}
INSTANT = {"format": "date-time"}


class AnswerSchema(Schema):
    """An object of an answer: readers must ignore fields they do not know."""

    class Meta:
        """Says that further fields may come."""

        unknown = INCLUDE


def required_text(**kwargs: Any) -> fields.String:
    """A text that is always there."""
    return fields.String(required=True, **kwargs)


def nullable_text(**kwargs: Any) -> fields.String:
    """A text or null; always there."""
    return fields.String(required=True, allow_none=True, **kwargs)


def one_of(words: tuple[str, ...]) -> fields.String:
    """One of these words; always there."""
    return fields.String(required=True, validate=validate.OneOf(words))


def required_count() -> fields.Integer:
    """A whole number of at least 0; always there."""
    return fields.Integer(required=True, validate=validate.Range(min=0))


def nullable_count() -> fields.Integer:
    """A whole number of at least 0, or null where it is not known; always there."""
    return fields.Integer(required=True, allow_none=True, validate=validate.Range(min=0))


def list_of(schema: type[Schema]) -> fields.List[Any]:
    """A list of such objects; always there."""
    return fields.List(fields.Nested(schema), required=True)


def list_of_texts() -> fields.List[Any]:
    """A list of texts; always there."""
    return fields.List(fields.String(), required=True)
