"""Reads newline-delimited JSON from a stream, part by part, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

READ_BYTES = 64 * 1024


class ByteStream(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Line(NamedTuple):
    """A line that is not blank, with its number from 1. `text` is None where it was too long."""

    number: int
    text: bytes | None


def read_lines(stream: ByteStream, line_bytes_max: int) -> Iterator[Line]:
    """The lines of a stream. Of one longer than `line_bytes_max` nothing is kept but its number."""
    rest, number, skipping = b"", 1, False
    while chunk := stream.read(READ_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for text in whole:
            if skipping or len(text) > line_bytes_max:
                yield Line(number, None)
                skipping = False
            elif text.strip():
                yield Line(number, text)
            number += 1
        if len(rest) > line_bytes_max:
            rest, skipping = b"", True
    if skipping:
        yield Line(number, None)
    elif rest.strip():
        yield Line(number, rest)


def parts_of(lines: Iterator[Line], lines_max: int, bytes_max: int) -> Iterator[list[Line]]:
    """Lines in parts of at most `lines_max`, ended early once a part holds `bytes_max` bytes."""
    part: list[Line] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line.text or b"")
        if len(part) >= lines_max or size >= bytes_max:
            yield part
            part, size = [], 0
    if part:
        yield part
