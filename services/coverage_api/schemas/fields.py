"""The kinds of value a request may hold: strict, bounded, and described alike to OpenAPI.

No message repeats the value it refuses: a problem document may be logged by whoever receives it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

#: Anything but control characters and line separators.
_NO_TEXT = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_TEXT = rf"[^{_NO_TEXT}]"
#: An id is the caller's, whatever it looks like. But what nobody can see must not make two ids of one: a
#: member with a stray blank would quietly be another, with counts of its own.
_UNSEEN = r"\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
_BLANK = r" \xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
_IN_ID, _ID_EDGE = rf"[^{_NO_TEXT}{_UNSEEN}]", rf"[^{_NO_TEXT}{_UNSEEN}{_BLANK}]"
_SLUG = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_is_slug = re.compile(_SLUG, re.ASCII).fullmatch
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII | re.IGNORECASE
)

FIRST_DAY = date(1900, 1, 1)
LAST_DAY = date(2199, 12, 31)
#: What payers write for an end that never comes.
LAST_END = date(9999, 12, 31)


class StrictSchema(Schema):
    """An object of a request: fields that it does not know are refused."""

    class Meta:
        """Stated, though it is marshmallow's default, so that the OpenAPI document says it too."""

        unknown = RAISE

    #: marshmallow's own words for it name neither what was expected nor JSON.
    error_messages = {"type": "Must be a JSON object."}  # noqa: RUF012 - marshmallow's own attribute


class Matches(validate.Validator):
    """Accepts text that a pattern matches as a whole; OpenAPI shows the pattern anchored."""

    def __init__(self, pattern: str, error: str) -> None:
        """Use `pattern` without anchors; `error` is the message."""
        self.regex = re.compile(f"^{pattern}$", re.ASCII)
        self.message = error
        #: The match of a whole value, or None.
        self.whole = re.compile(pattern, re.ASCII).fullmatch

    def accepts(self, value: str) -> bool:
        """Whether the whole value matches."""
        return self.whole(value) is not None

    def __call__(self, value: str) -> str:
        """Raises ValidationError unless the whole value matches."""
        if not self.accepts(value):
            raise ValidationError(self.message)
        return value


class Text(fields.String):
    """Text of 1 to `length_max` characters without control characters."""

    def __init__(self, length_max: int, **kwargs: Any) -> None:
        """Bound the length; marshmallow's own arguments follow."""
        error = f"Must be 1 to {length_max} characters without control characters."
        kwargs.setdefault("metadata", {}).update(minLength=1, maxLength=length_max)
        super().__init__(validate=Matches(f"{_TEXT}{{1,{length_max}}}", error), **kwargs)


class Identifier(fields.String):
    """An id of the caller's: 1 to `length_max` characters, every one of them to be seen."""

    def __init__(self, length_max: int, **kwargs: Any) -> None:
        """Bound the length; marshmallow's own arguments follow."""
        self.length_max = length_max
        kwargs.setdefault("metadata", {}).update(minLength=1, maxLength=length_max)
        super().__init__(validate=_visible(length_max), **kwargs)

    def accepts_at_a_glance(self, ids: Collection[str]) -> bool:
        """Whether all of these are of visible ASCII characters, so right at once.

        If not, each of them has to be asked about.
        """
        written = "".join(ids)
        is_plain = written.isascii() and written.isprintable() and " " not in written
        return is_plain and "" not in ids and max(map(len, ids), default=0) <= self.length_max


@cache
def _visible(length_max: int) -> Matches:
    return Matches(
        f"{_ID_EDGE}(?:{_IN_ID}{{0,{length_max - 2}}}{_ID_EDGE})?",
        f"Must be 1 to {length_max} characters, none of them invisible and no white space at either end.",
    )


class Code(fields.String):
    """Text of a fixed form, such as a procedure code."""

    def __init__(self, pattern: str, form: str, **kwargs: Any) -> None:
        """`form` says in words what `pattern` (without anchors) accepts."""
        super().__init__(validate=Matches(pattern, f"Must be {form}."), **kwargs)


class Slug(Code):
    """An id that is ours or an operator's to choose: lower case, no comma, no asterisk, no slash."""

    def __init__(self, **kwargs: Any) -> None:
        """Take marshmallow's own arguments."""
        form = "1 to 64 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit"
        super().__init__(_SLUG, form, **kwargs)


class Word(fields.String):
    """One of a closed list of words."""

    def __init__(self, words: tuple[str, ...], **kwargs: Any) -> None:
        """`words` are all there are."""
        super().__init__(validate=validate.OneOf(words), **kwargs)


class Whole(fields.Integer):
    """A whole number of JSON within `[low, high]`: not "3", not 3.0, not true."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        """Bound the number on both sides."""
        super().__init__(strict=True, validate=validate.Range(low, high), **kwargs)


class Truth(fields.Boolean):
    """JSON's true or false, and nothing that looks like it."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        del attr, data, kwargs
        if value is True or value is False:
            return bool(value)
        raise self.make_error("invalid")


class Day(fields.String):
    """A plain calendar date, YYYY-MM-DD, kept as text; a date-time is refused (contract I12)."""

    def __init__(self, last: date = LAST_DAY, **kwargs: Any) -> None:
        """Accept dates from 1900-01-01 to `last`."""
        kwargs.setdefault("metadata", {}).update(format="date")
        self._last = last
        super().__init__(**kwargs)

    def accepts(self, text: str) -> bool:
        """Whether text is a date that this field takes."""
        day = _day_of(text)
        return day is not None and FIRST_DAY <= day <= self._last

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        day = _day_of(text)
        if day is None:
            raise ValidationError("Must be a calendar date, YYYY-MM-DD, without a time.")
        if not FIRST_DAY <= day <= self._last:
            raise ValidationError(f"Must be a date from {FIRST_DAY} to {self._last}.")
        return text


def _day_of(text: str) -> date | None:
    if _DAY.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


class Instant(fields.String):
    """A moment with its UTC offset (RFC 3339), read as an aware UTC datetime."""

    def __init__(self, **kwargs: Any) -> None:
        """Take marshmallow's own arguments."""
        kwargs.setdefault("metadata", {}).update(format="date-time")
        super().__init__(**kwargs)

    def _deserialize(  # type: ignore[override]  # the value leaves the edge as a datetime
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            if _INSTANT.fullmatch(text) is None:
                raise ValueError  # noqa: TRY301 - both ways of being malformed get one answer
            moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValidationError("Must be a date-time with a UTC offset (RFC 3339).") from None
        if not FIRST_DAY.year <= moment.year <= LAST_DAY.year:
            raise ValidationError(f"Must lie in the years {FIRST_DAY.year} to {LAST_DAY.year}.")
        return moment


class Items(fields.List[Any]):
    """A list of at most `most` items, each of one kind."""

    def __init__(self, item: Any, most: int, *, least: int = 0, **kwargs: Any) -> None:
        """Bound the length of the list."""
        super().__init__(item, validate=validate.Length(min=least, max=most), **kwargs)


def identifier(**kwargs: Any) -> Identifier:
    """An id that a client chose, up to 200 characters."""
    return Identifier(200, **kwargs)


def is_slug(text: str) -> bool:
    """Whether text is a well-formed payer or plan id."""
    return _is_slug(text) is not None


def is_identifier(text: str, length_max: int) -> bool:
    """Whether text is what `Identifier` accepts."""
    return _visible(length_max).accepts(text)
