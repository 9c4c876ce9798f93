"""Streams of lines, however they are cut into reads."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from services.coverage_api import ndjson
from services.coverage_api.ndjson import Line, parts_of, read_lines

LINE_MAX = 10


class Dripping:
    """A stream that gives its bytes in pieces of given sizes."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._rest = io.BytesIO(content)
        self._sizes = sizes

    def read(self, size: int, /) -> bytes:
        """The next piece."""
        return self._rest.read(min(size, self._sizes.pop()) if self._sizes else size)


@given(
    lines=st.lists(st.binary(max_size=25).map(lambda text: text.replace(b"\n", b" "))),
    sizes=st.lists(st.integers(min_value=1, max_value=7)),
    ends=st.booleans(),
)
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], sizes: list[int], *, ends: bool) -> None:
    """Numbers count every line; blank ones are left out, long ones keep only their number."""
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    expected = [
        Line(number, None if len(text) > LINE_MAX else text)
        for number, text in enumerate(lines, start=1)
        if text.strip() or len(text) > LINE_MAX
    ]
    assert list(read_lines(Dripping(content, sizes), LINE_MAX)) == expected


def test_an_endless_line_is_not_kept_in_memory() -> None:
    """Of a line without an end no more is held than one read and the bound."""

    class Endless:
        """A megabyte without a newline, then one short line."""

        left = 16

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return b"x" * size if self.left > 0 else b"\n{}" if self.left == 0 else b""

    assert list(read_lines(Endless(), ndjson.READ_BYTES)) == [Line(1, None), Line(2, b"{}")]


def test_parts_end_at_their_bounds() -> None:
    """A part ends when it has as many lines, or about as many bytes, as it may."""
    lines = [Line(number, b"12345") for number in range(1, 8)]
    by_lines = [[line.number for line in part] for part in parts_of(iter(lines), 3, 1_000)]
    by_bytes = [[line.number for line in part] for part in parts_of(iter(lines), 100, 10)]
    assert by_lines == [[1, 2, 3], [4, 5, 6], [7]]
    assert by_bytes == [[1, 2], [3, 4], [5, 6], [7]]
