"""Members' ids that an operator gives in a file are read as they stand, or not at all."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from services.operator_cli.errors import OperatorError
from services.operator_cli.member_ids import MEMBER_IDS_FILE, read_member_ids


def read(path: Path, content: bytes, count: int) -> list[str]:
    """The ids that a command takes from a file with this content."""
    path.write_bytes(content)
    with path.open(encoding=MEMBER_IDS_FILE.encoding) as file:
        return read_member_ids(file, count)


@pytest.mark.parametrize(
    "content", [b"A 1\nB\n", b"\xef\xbb\xbfA 1\r\nB", b"\n  A 1 \n\n\nB\n\n"], ids=["plain", "mark", "blanks"]
)
def test_ids_are_read_whatever_editor_wrote_them(tmp_path: Path, content: bytes) -> None:
    """A byte order mark or a blank in an id would make it another member's."""
    assert read(tmp_path / "ids", content, 2) == ["A 1", "B"]


@pytest.mark.parametrize(
    ("content", "count"),
    [(b"", 1), (b"A\nB\n", 1), (b"A\n", 2), (b"A\nB\nC\n", 2), (b"A" * 201, 1), (b"A\n" + b"B" * 500, 2)],
)
def test_other_than_so_many_ids_are_refused(tmp_path: Path, content: bytes, count: int) -> None:
    """Nothing is guessed of a file that holds more or less than it should."""
    with pytest.raises(click.BadParameter, match="must hold"):
        read(tmp_path / "ids", content, count)


def test_file_that_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    """Without the bytes, which may be a member's id in another encoding."""
    with pytest.raises(OperatorError, match=r"^The file is not UTF-8 text\.$"):
        read(tmp_path / "ids", b"SAMPLE-\xff\n", 1)
