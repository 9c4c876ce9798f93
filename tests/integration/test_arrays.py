"""Our packed arrays reach Postgres as what they were."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from psycopg.adapt import PyFormat

from shared.adapters.postgres import arrays
from tests.servers import Postgres

CASES: list[tuple[type[list[Any]], str, list[Any]]] = [
    (arrays.Texts, "text", ["", "a", "ü\t{}\"'", "x" * 5000]),
    (arrays.Texts, "text", ["a", "", "x" * 127]),
    (arrays.Texts, "text", ["a", "x" * 128]),
    (arrays.Texts, "text", ["a", "ü", "x" * 127]),
    (arrays.Texts, "text", ["a", "x" * 1023, "y" * 1024]),
    (arrays.Blobs, "bytea", [b"", b"\x00\xff", b"y" * 40]),
    (arrays.Blobs, "bytea", [b"", b"y" * 127, b"y" * 1023, b"y" * 1024]),
    (arrays.Booleans, "boolean", [True, False]),
    (arrays.Smallints, "smallint", [0, 1, -1, 32767, -32768]),
    (arrays.Integers, "integer", [0, -1, 2**31 - 1, -(2**31)]),
    (arrays.Bigints, "bigint", [0, -1, 2**63 - 1, -(2**63)]),
    (arrays.Dates, "date", [date(1, 1, 1), date(2000, 2, 29), date(9999, 12, 31)]),
    (
        arrays.Instants,
        "timestamptz",
        [datetime(1999, 1, 1, tzinfo=UTC), datetime(2026, 3, 4, 5, 6, 7, 89, UTC)],
    ),
]


def test_values_come_back_as_they_were(postgres: Postgres) -> None:
    """With nulls, without, none at all, nothing but nulls, all alike; and the array is of its own type."""
    with psycopg.connect(postgres.embedded.url("postgres")) as connection:
        connection.execute("set timezone = 'UTC'")
        for kind, name, values in CASES:
            for given in (values, [None, *values, None], [], [None, None], values[:1], values[:1] * 3):
                row = connection.execute(
                    f"select %(given)b::{name}[] = %(plain)s::{name}[], pg_typeof(%(given)b)::text",
                    {"given": kind(given), "plain": given},
                ).fetchone()
                assert row == (True, {"timestamptz": "timestamp with time zone"}.get(name, name) + "[]")


def test_texts_that_are_encoded_are_the_texts(postgres: Postgres) -> None:
    """Bytes in UTF-8 arrive as the characters that they stand for."""
    texts = ["", "a", "ü\t{}\"'", None]
    encoded = arrays.Utf8Texts(None if text is None else text.encode() for text in texts)
    with psycopg.connect(postgres.embedded.url("postgres")) as connection:
        row = connection.execute("select %(given)b::text[]", {"given": encoded}).fetchone()
    assert row == (texts,)


def test_json_that_is_encoded_stays_as_it_is_written(postgres: Postgres) -> None:
    """Blanks and the order of names included."""
    texts = ['{"b": 1,"a":"ü"}', "null", None, "[ ]"]
    encoded = arrays.Jsons(None if text is None else text.encode() for text in texts)
    with psycopg.connect(postgres.embedded.url("postgres")) as connection:
        row = connection.execute("select (%(given)b::json[])::text[]", {"given": encoded}).fetchone()
    assert row == (texts,)


def test_a_number_that_does_not_fit_is_refused() -> None:
    """Nothing is cut off."""
    dumper = psycopg.adapters.get_dumper(arrays.Smallints, PyFormat.BINARY)(arrays.Smallints)
    with pytest.raises(OverflowError):
        dumper.dump(arrays.Smallints([40_000]))
