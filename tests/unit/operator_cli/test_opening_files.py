"""Reading files of opening balances: CSV and NDJSON say the same, and faults are told by line."""

from __future__ import annotations

import io
from datetime import date

import pytest

from services.operator_cli.errors import OperatorError
from services.operator_cli.opening_files import (
    LINE_LENGTH_MAX,
    RefusedLine,
    StatementLine,
    read_statements,
)
from shared.domain.hold import OpeningBalance
from shared.domain.records import MemberRef

HEADER = "payer_id,member_id,plan_id,limit_id,service_date,quantity,source,sequence\n"
LINE = "p,SAMPLE-1,employer,dry-needling,2026-02-01,5,vendor,1\n"
NDJSON = (
    '{"payer_id":"p","member_id":"SAMPLE-1","plan_id":"employer","limit_id":"dry-needling",'
    '"service_date":"2026-02-01","quantity":5,"source":"vendor","sequence":1}\n'
)


def _statement(number: int) -> StatementLine:
    return StatementLine(
        number=number,
        ref=MemberRef(payer_id="p", member_id="SAMPLE-1"),
        balance=OpeningBalance(
            plan_id="employer",
            limit_id="dry-needling",
            service_date=date(2026, 2, 1),
            quantity=5,
            source="vendor",
            sequence=1,
        ),
    )


def _read(text: str) -> list[StatementLine | RefusedLine]:
    return list(read_statements(io.StringIO(text, newline="")))


def test_csv_and_ndjson_say_the_same() -> None:
    """Both formats give the same statement, each with its line's number."""
    assert _read(HEADER + LINE) == [_statement(2)]
    assert _read(NDJSON) == [_statement(1)]


def test_columns_may_come_in_any_order() -> None:
    """The header names the cells."""
    assert _read(
        "sequence,source,quantity,service_date,limit_id,plan_id,member_id,payer_id\r\n"
        "1,vendor,5,2026-02-01,dry-needling,employer,SAMPLE-1,p\r\n"
    ) == [_statement(2)]


def test_empty_lines_and_empty_files_say_nothing() -> None:
    """Nothing is stated and nothing refused."""
    assert _read("") == []
    assert _read(HEADER) == []
    assert _read(HEADER + "\n" + LINE) == [_statement(3)]
    assert _read(NDJSON + "\n" + NDJSON) == [_statement(1), _statement(3)]


@pytest.mark.parametrize("value", ["-1", "5.0", "1e3", "٣", "", "1000001", " "])
def test_quantity_that_is_no_whole_number_is_refused(value: str) -> None:
    """No sign, fraction, exponent or other digits; the value is not repeated."""
    (refused,) = _read(HEADER + LINE.replace(",5,", f",{value},"))
    assert isinstance(refused, RefusedLine)
    assert refused.number == 2
    assert refused.why.startswith("quantity: expected a whole number from 0 to 1000000")


@pytest.mark.parametrize("value", ["true", '"5"', "5.0", "null", "[5]"])
def test_json_quantity_is_a_number_and_nothing_else(value: str) -> None:
    """A number in quotes is text, and true is no number."""
    (refused,) = _read(NDJSON.replace('"quantity":5', f'"quantity":{value}'))
    assert isinstance(refused, RefusedLine)


@pytest.mark.parametrize(
    "value", ["2026-02-30", "2026-02-01T00:00:00", "20260201", "01.02.2026", "2026-W05-1"]
)
def test_date_that_is_no_plain_date_is_refused(value: str) -> None:
    """Only a calendar date as in 2026-01-31 (I12)."""
    (refused,) = _read(HEADER + LINE.replace("2026-02-01", value))
    assert isinstance(refused, RefusedLine)
    assert refused.why == "service_date: expected a date as in 2026-01-31"


@pytest.mark.parametrize(
    "text",
    [
        NDJSON.replace('"sequence":1', '"sequence":1,"more":2'),
        NDJSON.replace(',"sequence":1', ""),
        NDJSON.replace('"p"', '""'),
        NDJSON.replace('"p"', '"a\\u0000b"'),
        NDJSON.replace('"p"', f'"{"x" * 201}"'),
        "{\n",
        NDJSON + "[1]\n",
        HEADER + "p,SAMPLE-1,employer\n",
    ],
)
def test_line_that_states_nothing_is_refused(text: str) -> None:
    """Missing and unknown fields, empty, unprintable and endless text, broken JSON, too few cells."""
    assert isinstance(_read(text)[-1], RefusedLine)


@pytest.mark.parametrize(
    "text",
    [
        "payer_id,member_id\np,SAMPLE-1\n",
        LINE,
        HEADER + '"p,SAMPLE-1\n',
        HEADER + "x" * (LINE_LENGTH_MAX + 1) + "\n",
    ],
)
def test_file_that_is_no_table_is_refused_whole(text: str) -> None:
    """Another header, none, an open quote or an endless line end the reading."""
    with pytest.raises(OperatorError):
        _read(text)
