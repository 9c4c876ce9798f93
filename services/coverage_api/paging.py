"""Cursors: where the next page of a list begins. Opaque to callers, and never trusted when they come back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import date

import orjson

from shared.domain.errors import Invalid

CURSOR_LENGTH_MAX = 2_000


def write_cursor(place: Sequence[str | int]) -> str:
    """The cursor for what comes behind `place`."""
    return base64.urlsafe_b64encode(orjson.dumps(list(place))).decode().rstrip("=")


def read_cursor(cursor: str, kinds: Sequence[type]) -> list[str | int]:
    """The place a cursor names: values of these kinds. Raises Invalid for anything else."""
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise malformed_cursor() from error
    if not isinstance(place, list) or [type(value) for value in place] != list(kinds):
        raise malformed_cursor()
    if not all(_is_storable(value) for value in place):
        raise malformed_cursor()
    return place


def read_day(value: str | int) -> date:
    """A date in a cursor. Raises Invalid if it is none."""
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise malformed_cursor() from error


def _is_storable(value: str | int) -> bool:
    """Whether the database can compare with it: no NUL in text, no number beyond 64 bits."""
    return "\x00" not in value if isinstance(value, str) else -(2**63) <= value < 2**63


def malformed_cursor() -> Invalid:
    """The refusal of a cursor that is none of ours."""
    return Invalid([("/cursor", "Must be the next_cursor of an earlier answer.")])
