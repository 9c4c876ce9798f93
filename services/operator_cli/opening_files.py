"""Reads files of opening balances: CSV with a header, or NDJSON, one statement a line."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TextIO

import orjson

from services.operator_cli.errors import OperatorError
from shared.domain.hold import OpeningBalance
from shared.domain.records import MemberRef

COLUMNS = (
    "payer_id",
    "member_id",
    "plan_id",
    "limit_id",
    "service_date",
    "quantity",
    "source",
    "sequence",
)
WHOLE_NUMBERS = {"quantity": 1_000_000, "sequence": 2**63 - 1}
TEXT_LENGTH_MAX = 200
LINE_LENGTH_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """A line that states a balance, with its number in the file (from 1)."""

    number: int
    ref: MemberRef
    balance: OpeningBalance


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A line that states none, and why; nothing of what it says is repeated."""

    number: int
    why: str


def read_statements(file: TextIO) -> Iterator[StatementLine | RefusedLine]:
    """The lines of a file that are not empty, one at a time.

    A file whose first line begins with a brace is NDJSON, any other CSV. Raises OperatorError for a
    CSV header that names other columns, and for a file that is not UTF-8.
    """
    try:
        lines = _bounded(file)
        first = next(lines, None)
        if first is None:
            return
        rest = itertools.chain([first], lines)
        yield from _ndjson(rest) if first.lstrip().startswith("{") else _csv(rest)
    except UnicodeDecodeError as error:
        raise OperatorError("The file is not UTF-8 text.") from error


def _bounded(file: TextIO) -> Iterator[str]:
    while line := file.readline(LINE_LENGTH_MAX + 1):
        if len(line) > LINE_LENGTH_MAX:
            raise OperatorError(f"A line of the file is longer than {LINE_LENGTH_MAX} characters.")
        yield line


def _ndjson(lines: Iterator[str]) -> Iterator[StatementLine | RefusedLine]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield RefusedLine(number=number, why="not JSON")
            continue
        if isinstance(said, dict):
            yield _statement(number, said)
        else:
            yield RefusedLine(number=number, why="not a JSON object")


def _csv(lines: Iterator[str]) -> Iterator[StatementLine | RefusedLine]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        if sorted(header) != sorted(COLUMNS):
            raise OperatorError(f"The file's first line must name the columns {', '.join(COLUMNS)}.")
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(header):
                yield RefusedLine(number=reader.line_num, why=f"expected {len(header)} cells")
                continue
            yield _statement(reader.line_num, _typed(dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise OperatorError(f"The file's line {reader.line_num} is not CSV.") from error


def _typed(cells: Mapping[str, str]) -> dict[str, Any]:
    """Cells as NDJSON would state them: whole numbers where there should be some."""
    typed: dict[str, Any] = {name: text.strip() for name, text in cells.items()}
    for name in WHOLE_NUMBERS:
        text = typed[name]
        if text.isascii() and text.isdigit():
            typed[name] = int(text)
    return typed


def _statement(number: int, said: Mapping[str, Any]) -> StatementLine | RefusedLine:
    why = _fault(said)
    if why is not None:
        return RefusedLine(number=number, why=why)
    return StatementLine(
        number=number,
        ref=MemberRef(payer_id=said["payer_id"], member_id=said["member_id"]),
        balance=OpeningBalance(
            plan_id=said["plan_id"],
            limit_id=said["limit_id"],
            service_date=date.fromisoformat(said["service_date"]),
            quantity=said["quantity"],
            source=said["source"],
            sequence=said["sequence"],
        ),
    )


def _fault(said: Mapping[str, Any]) -> str | None:
    """What keeps an object from being a statement, or None."""
    if set(said) != set(COLUMNS):
        return f"expected exactly {', '.join(COLUMNS)}"
    for name, most in WHOLE_NUMBERS.items():
        value = said[name]
        if type(value) is not int or not 0 <= value <= most:
            return f"{name}: expected a whole number from 0 to {most}"
    for name in COLUMNS:
        value = said[name]
        if name in WHOLE_NUMBERS:
            continue
        if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH_MAX or not value.isprintable():
            return f"{name}: expected 1 to {TEXT_LENGTH_MAX} printable characters"
    return None if _is_date(said["service_date"]) else "service_date: expected a date as in 2026-01-31"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
