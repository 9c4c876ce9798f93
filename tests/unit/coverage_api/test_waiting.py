"""`Prefer: wait`, and the bound on who may wait."""

from __future__ import annotations

import pytest

from services.coverage_api.waiting import WaitingRoom, preferred_wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", 5),
        ("respond-async, wait=3", 3),
        ('Wait = "7"', 7),
        ("wait=60", 10),
        ("wait=0", 0),
        ("wait=2; note=x", 2),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=soon", None),
        ("respond-async", None),
        ("", None),
        (None, None),
    ],
)
def test_wait_is_read_from_the_header(header: str | None, seconds: int | None) -> None:
    """Whole seconds up to ten; what cannot be read is no preference."""
    assert preferred_wait(header) == seconds


def test_room_has_as_many_places_as_it_was_given() -> None:
    """Who finds no place is told at once, and a place that was left can be taken again."""
    room = WaitingRoom(1)
    with room.place() as first, room.place() as second:
        assert (first, second) == (True, False)
    with room.place() as again:
        assert again


def test_one_client_does_not_take_every_place() -> None:
    """Of three places one client has two at most, and gets them back."""
    room = WaitingRoom(3, of_one_client=2)
    with room.place("a") as first, room.place("a") as second, room.place("a") as third:
        assert (first, second, third) == (True, True, False)
        with room.place("b") as other, room.place("c") as full:
            assert (other, full) == (True, False)
    with room.place("a") as again:
        assert again
