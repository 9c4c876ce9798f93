"""What a field of a request accepts, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from marshmallow import ValidationError, fields

from services.coverage_api.schemas.fields import (
    Code,
    Day,
    Instant,
    Slug,
    Text,
    Truth,
    Whole,
    Word,
    identifier,
)


def refuses(field: fields.Field[Any], value: object) -> bool:
    """Whether a field refuses a value."""
    try:
        field.deserialize(value)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("value", ["2026-03-04", "1900-01-01", "2199-12-31", "2028-02-29"])
def test_day_keeps_a_calendar_date_as_it_was_written(value: str) -> None:
    """A plain date passes through unchanged."""
    assert Day().deserialize(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-04T00:00:00",
        "2026-12-31T23:30-08:00",
        "20260304",
        "2026-W10-3",
        "2026-3-4",
        "2026-02-29",
        "2026-03-04\n",
        "٢٠٢٦-03-04",
        "1899-12-31",
        "2200-01-01",
        "",
        20260304,
        None,
        True,
    ],
)
def test_day_refuses_whatever_is_not_a_plain_date_in_range(value: object) -> None:
    """Date-times, other ISO forms, dates that do not exist or are out of range are refused (I12)."""
    assert refuses(Day(), value)


@pytest.mark.parametrize("value", ["3", 3.0, 3.5, True, False, None, 0, 11, [], 10**400])
def test_whole_number_refuses_other_types_and_what_is_out_of_range(value: object) -> None:
    """Neither text nor a fraction nor a truth value is a whole number."""
    assert refuses(Whole(1, 10), value)


@pytest.mark.parametrize("value", ["true", 1, 0, "yes", None, []])
def test_truth_refuses_what_only_looks_like_it(value: object) -> None:
    """Only JSON's own true and false will do."""
    assert refuses(Truth(), value)


@pytest.mark.parametrize(
    "value", ["", "a\x00b", "line\nbreak", "tab\t", "\x7f", "x" * 201, "\u2028", 5, None]
)
def test_text_refuses_control_characters_and_too_much(value: object) -> None:
    """Ids are any printable text of bounded length."""
    assert refuses(Text(200), value)


@pytest.mark.parametrize("value", ["v1", "Visit 7/B", "ö-1", "*,'\"", "x" * 200])
def test_text_accepts_whatever_a_client_calls_its_things(value: str) -> None:
    """Spaces, slashes and letters of any script are a client's own choice."""
    assert Text(200).deserialize(value) == value


@pytest.mark.parametrize("value", ["*", "a,b", "A", "", "-a", "a-", "a/b", "a" * 65, "a\n"])
def test_slug_refuses_what_could_be_read_as_several_payers(value: str) -> None:
    """A comma, an asterisk or anything else that is no plain id never gets as far as the database."""
    assert refuses(Slug(), value)


def test_code_is_matched_as_a_whole() -> None:
    """A newline behind a good code does not slip through."""
    field = Code(r"[0-9]{5}", "five digits")
    assert field.deserialize("20560") == "20560"
    assert refuses(field, "20560\n")
    assert refuses(field, "205601")


def test_word_is_one_of_the_list() -> None:
    """A word that is not in the list is refused."""
    assert refuses(Word(("in", "out")), "IN")


def test_instant_becomes_utc() -> None:
    """A moment with any offset is read as the same moment in UTC."""
    moment: object = Instant().deserialize("2026-03-04T10:00:00-05:00")
    assert moment == datetime(2026, 3, 4, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["2026-03-04", "2026-03-04T10:00:00", "2026-03-04 10:00:00Z", "9999-12-31T23:59:59-23:59"]
)
def test_instant_refuses_what_names_no_moment(value: str) -> None:
    """Without an offset it is not known when that was."""
    assert refuses(Instant(), value)


@pytest.mark.parametrize(
    "value",
    [
        "M-1 ",
        " M-1",
        "\u00a0M-1",
        "M-1\u3000",
        " ",
        "",
        "M\u200b-1",
        "M-1\u00ad",
        "\ufeffM-1",
        "M\u202e-1",
        "x" * 201,
    ],
)
def test_identifier_refuses_what_nobody_would_see(value: str) -> None:
    """A member with a stray blank would quietly be another member, with counts of its own."""
    assert refuses(identifier(), value)


@pytest.mark.parametrize("value", ["M-1", "M", "de la Cruz 7", "member/7?x=\N{SNOWMAN}", "x" * 200])
def test_identifier_is_the_callers_whatever_it_looks_like(value: str) -> None:
    """Blanks inside, slashes and other alphabets are kept as they are."""
    kept: object = identifier().deserialize(value)
    assert kept == value
