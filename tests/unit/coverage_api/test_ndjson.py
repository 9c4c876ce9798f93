"""Streams of lines, however they are cut into reads."""

from __future__ import annotations

import io
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from services.coverage_api import ndjson
from services.coverage_api.ndjson import Part, parts_of, read_lines

LINE_MAX = 10


class Dripping:
    """A stream that gives its bytes in pieces of given sizes."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._rest = io.BytesIO(content)
        self._sizes = sizes

    def read(self, size: int, /) -> bytes:
        """The next piece."""
        return self._rest.read(min(size, self._sizes.pop()) if self._sizes else size)


def told(parts: Iterable[Part]) -> list[tuple[int, bytes | None]]:
    """The lines of these parts."""
    return [line for part in parts for line in zip(*part, strict=True)]


@given(
    lines=st.lists(st.binary(max_size=25).map(lambda text: text.replace(b"\n", b" "))),
    sizes=st.lists(st.integers(min_value=1, max_value=7)),
    ends=st.booleans(),
)
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], sizes: list[int], *, ends: bool) -> None:
    """Numbers count every line; blank ones are left out, long ones keep only their number."""
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    expected = [
        (number, None if len(text) > LINE_MAX else text)
        for number, text in enumerate(lines, start=1)
        if text.strip() or len(text) > LINE_MAX
    ]
    assert told(read_lines(Dripping(content, sizes), LINE_MAX)) == expected


def test_an_endless_line_is_not_kept_in_memory() -> None:
    """Of a line without an end no more is held than one read and the bound."""

    class Endless:
        """A megabyte without a newline, then one short line."""

        left = 16

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return b"x" * size if self.left > 0 else b"\n{}" if self.left == 0 else b""

    assert told(read_lines(Endless(), ndjson.READ_BYTES)) == [(1, None), (2, b"{}")]


def test_parts_begin_small_and_end_at_their_bounds() -> None:
    """Each part has twice as many lines as the one before, up to its bound, or about as many bytes."""
    lines = [Part([number], [b"12345"]) for number in range(1, 10)]
    by_lines = [list(part.numbers) for part in parts_of(lines, 1, 3, 1_000)]
    by_bytes = [list(part.numbers) for part in parts_of(lines, 50, 100, 10)]
    at_once = [list(part.numbers) for part in parts_of([Part(range(1, 10), [b"1"] * 9)], 2, 3, 1_000)]
    assert by_lines == [[1], [2, 3], [4, 5, 6], [7, 8, 9]]
    assert by_bytes == [[1, 2], [3, 4], [5, 6], [7, 8], [9]]
    assert at_once == [[1, 2], [3, 4, 5], [6, 7, 8], [9]]
