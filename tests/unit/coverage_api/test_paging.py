"""Cursors come back from strangers."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.coverage_api.paging import read_cursor, write_cursor
from shared.domain.errors import Invalid


@given(name=st.text().filter(lambda text: "\x00" not in text), number=st.integers(0, 2**62))
def test_cursor_leads_back_to_its_place(name: str, number: int) -> None:
    """What was written is what is read."""
    assert read_cursor(write_cursor([name, number]), (str, int)) == [name, number]


@pytest.mark.parametrize(
    "cursor",
    ["", "!", "ÄÖ", "YWJj", "W10", base64.urlsafe_b64encode(b'[1,"a"]').decode(), write_cursor(["a\x00", 1])],
)
def test_forged_cursor_is_refused(cursor: str) -> None:
    """Anything that is not a cursor of this list is bad input, not a failure."""
    with pytest.raises(Invalid):
        read_cursor(cursor, (str, int))
