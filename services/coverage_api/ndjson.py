"""Reads newline-delimited JSON from a stream, part by part, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

READ_BYTES = 64 * 1024


class ByteStream(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Part(NamedTuple):
    """Lines that are not blank: their numbers, from 1, and their texts, None for one that was too long."""

    numbers: Sequence[int]
    texts: list[bytes | None]


def read_lines(stream: ByteStream, line_bytes_max: int) -> Iterator[Part]:
    """The lines of a stream, those of one read at once.

    Of one longer than `line_bytes_max` no more than that is kept while it is read.
    """
    rest, number = b"", 1
    while chunk := stream.read(READ_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        # Of a line that is too long already enough is kept to tell so.
        rest = rest[: line_bytes_max + 1]
        if whole:
            yield _said(number, whole, line_bytes_max)
            number += len(whole)
    yield _said(number, [rest], line_bytes_max)


def _said(first: int, texts: list[bytes], line_bytes_max: int) -> Part:
    """Those of the lines from number `first` on that say something."""
    if max(map(len, texts)) <= line_bytes_max and all(map(bytes.strip, texts)):
        return Part(range(first, first + len(texts)), [*texts])
    said = [
        (number, text if len(text) <= line_bytes_max else None)
        for number, text in enumerate(texts, start=first)
        if len(text) > line_bytes_max or text.strip()
    ]
    return Part([number for number, _ in said], [text for _, text in said])


def parts_of(lines: Iterable[Part], lines_first: int, lines_max: int, bytes_max: int) -> Iterator[Part]:
    """Lines in parts: the first of at most `lines_first`, each next of twice as many, up to `lines_max`.

    A part ends early with the read that made it hold `bytes_max` bytes.
    """
    numbers: list[int] = []
    texts: list[bytes | None] = []
    size, at_most = 0, lines_first
    for more in lines:
        numbers += more.numbers
        texts += more.texts
        size += _bytes_of(more.texts)
        while len(texts) >= at_most or size >= bytes_max:
            yield Part(numbers[:at_most], texts[:at_most])
            del numbers[:at_most], texts[:at_most]
            size, at_most = _bytes_of(texts), min(2 * at_most, lines_max)
    if texts:
        yield Part(numbers, texts)


def _bytes_of(texts: Iterable[bytes | None]) -> int:
    return sum(map(len, filter(None, texts)))
