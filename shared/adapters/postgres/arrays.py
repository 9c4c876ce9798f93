"""Arrays of one type, sent as PostgreSQL's binary arrays.

The driver's own dumper for lists calls a dumper for each element and picks the array's type from the
values, so that a statement has a plan for each mixture of small and large numbers. These have the type
that their name says and are packed at once: a batch sends tens of thousands of values.

A statement takes those of many rows apart in its select list, side by side, which is done row by row. In its
from clause all rows would be put aside first.
"""

from __future__ import annotations

import contextlib
import struct
import sys
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

T = TypeVar("T")

_HEAD = struct.Struct("!IIIII")
_LENGTH = struct.Struct("!i").pack
_NULL = b"\xff\xff\xff\xff"
#: The lengths that most elements have, as they are packed; and those that are ASCII then, as texts.
_LENGTHS = [_LENGTH(number) for number in range(1024)]
_ASCII_LENGTHS = [packed_length.decode("ascii") for packed_length in _LENGTHS[:128]]
#: Day 0 of a date, and instant 0 of a timestamp.
_EPOCH_DAY = date(2000, 1, 1).toordinal()
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Texts(list[str | None]):
    """`text[]`."""


class Utf8Texts(list[bytes | None]):
    """`text[]`, of texts that are encoded already."""


class Jsons(list[bytes | None]):
    """`json[]`, of texts that are encoded already, and known to be JSON."""


class Blobs(list[bytes | None]):
    """`bytea[]`."""


class Booleans(list[bool | None]):
    """`boolean[]`."""


class Smallints(list[int | None]):
    """`smallint[]`."""


class Integers(list[int | None]):
    """`integer[]`."""


class Bigints(list[int | None]):
    """`bigint[]`."""


class Dates(list[date | None]):
    """`date[]`."""


class Instants(list[datetime | None]):
    """`timestamptz[]`, of aware datetimes."""


#: The array for each type of a column. JSON is sent as text, which the server reads.
ARRAYS: dict[str, type[list[Any]]] = {
    "text": Texts,
    "bytea": Blobs,
    "boolean": Booleans,
    "smallint": Smallints,
    "integer": Integers,
    "bigint": Bigints,
    "date": Dates,
    "timestamptz": Instants,
}


class _ArrayDumper(Dumper):
    """Packs an array; `oid` is the array's and `element_oid` that of its elements."""

    format = Format.BINARY
    element_oid: ClassVar[int]

    def dump(self, obj: Sequence[Any]) -> Buffer:
        """The array as PostgreSQL's binary format has it."""
        if not obj:
            return _HEAD.pack(0, 0, self.element_oid, 0, 0)[:12]
        first, count = obj[0], len(obj)
        if first == obj[-1] and obj.count(first) == count:
            # Many a column says the same in each row of a batch.
            nulls = first is None
            return _HEAD.pack(1, nulls, self.element_oid, count, 1) + self.pack_with_nulls(obj[:1]) * count
        nulls = None in obj
        packed = self.pack_with_nulls(obj) if nulls else self.pack(obj)
        return _HEAD.pack(1, nulls, self.element_oid, count, 1) + packed

    @abstractmethod
    def pack(self, values: Sequence[Any]) -> bytes:
        """The elements, none of which is None, each after its length."""

    def pack_with_nulls(self, values: Sequence[Any]) -> bytes:
        """The elements, of which any may be None, each after its length."""
        if len(values) == 1:
            return _NULL if values[0] is None else self.pack(values)
        return b"".join([_NULL if value is None else self.pack([value]) for value in values])


def _alternately(lengths: Iterable[T], values: Sequence[T]) -> list[T]:
    """Each value after its length."""
    parts = [*values, *values]
    parts[::2] = lengths
    parts[1::2] = values
    return parts


class _BytesDumper(_ArrayDumper):
    def pack(self, values: Sequence[Any]) -> bytes:
        if len(values) == 1:
            return _LENGTH(len(values[0])) + bytes(values[0])
        try:
            return b"".join(_alternately(map(_LENGTHS.__getitem__, map(len, values)), values))
        except IndexError:
            return b"".join(_alternately(map(_LENGTH, map(len, values)), values))


class _Utf8TextsDumper(_BytesDumper):
    oid, element_oid = 1009, 25


class _JsonsDumper(_BytesDumper):
    oid, element_oid = 199, 114


class _TextsDumper(_BytesDumper):
    oid, element_oid = 1009, 25

    def pack(self, values: Sequence[Any]) -> bytes:
        if len(values) > 1:
            with contextlib.suppress(IndexError):
                written = "".join(_alternately(map(_ASCII_LENGTHS.__getitem__, map(len, values)), values))
                # Of these no character takes more than one byte, so lengths are right.
                if written.isascii():
                    return written.encode("ascii")
        return super().pack([value.encode() for value in values])


class _BlobsDumper(_BytesDumper):
    oid, element_oid = 1001, 17


class _NumbersDumper(_ArrayDumper):
    """Packs values that are whole numbers of `code`'s width on the wire."""

    code: ClassVar[str]

    def pack(self, values: Sequence[Any]) -> bytes:
        numbers = array(self.code, self.numbers(values))
        if sys.byteorder == "little":
            # On the wire the highest byte comes first.
            numbers.byteswap()
        width, given = numbers.itemsize, numbers.tobytes()
        if len(values) == 1:
            return _LENGTH(width) + given
        # Byte by byte of all values at once: the length goes before each of them.
        packed = bytearray((4 + width) * len(values))
        packed[3 :: 4 + width] = bytes([width]) * len(values)
        for place in range(width):
            packed[4 + place :: 4 + width] = given[place::width]
        return bytes(packed)

    def numbers(self, values: Sequence[Any]) -> Iterable[int]:
        """The number that each value is sent as."""
        return values


class _BooleansDumper(_NumbersDumper):
    oid, element_oid, code = 1000, 16, "b"


class _SmallintsDumper(_NumbersDumper):
    oid, element_oid, code = 1005, 21, "h"


class _IntegersDumper(_NumbersDumper):
    oid, element_oid, code = 1007, 23, "i"


class _BigintsDumper(_NumbersDumper):
    oid, element_oid, code = 1016, 20, "q"


class _DatesDumper(_NumbersDumper):
    oid, element_oid, code = 1182, 1082, "i"

    def numbers(self, values: Sequence[Any]) -> Iterable[int]:
        return [value.toordinal() - _EPOCH_DAY for value in values]


class _InstantsDumper(_NumbersDumper):
    oid, element_oid, code = 1185, 1184, "q"

    def numbers(self, values: Sequence[Any]) -> Iterable[int]:
        numbers, last, number = [], None, 0
        for value in values:
            # A batch often has one instant, many times.
            if value is not last:
                since, last = value - _EPOCH, value
                number = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
            numbers.append(number)
        return numbers


_DUMPERS: dict[type[list[Any]], type[_ArrayDumper]] = {
    Texts: _TextsDumper,
    Utf8Texts: _Utf8TextsDumper,
    Jsons: _JsonsDumper,
    Blobs: _BlobsDumper,
    Booleans: _BooleansDumper,
    Smallints: _SmallintsDumper,
    Integers: _IntegersDumper,
    Bigints: _BigintsDumper,
    Dates: _DatesDumper,
    Instants: _InstantsDumper,
}

_PACKERS = {kind: dumper(kind) for kind, dumper in _DUMPERS.items()}


def packed(value: list[Any] | str | bytes) -> bytes:
    """One of these arrays, or a text, as it goes over the wire in binary; what is packed already as it is."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else bytes(_PACKERS[type(value)].dump(value))


def register_arrays() -> None:
    """Teach the driver these arrays, for every connection made from here on."""
    for kind, dumper in _DUMPERS.items():
        psycopg.adapters.register_dumper(kind, dumper)


register_arrays()
