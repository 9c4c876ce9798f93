"""What is made of the same objects is made once."""

from __future__ import annotations

from shared.accounting.same_objects import OfTheSame


def remembered_sum() -> tuple[OfTheSame[int], list[tuple[object, ...]]]:
    """A remembered sum of two lists' lengths, and what it was worked out for."""
    worked_out: list[tuple[object, ...]] = []

    def both(one: list[int], other: list[int]) -> int:
        worked_out.append((one, other))
        return len(one) + len(other)

    return OfTheSame(both, most=3), worked_out


def test_it_is_worked_out_once_for_the_same_objects() -> None:
    """In the same places; equal objects are others."""
    length, worked_out = remembered_sum()
    one, other = [1], [2, 3]
    assert [length(one, other) for _ in range(3)] == [3, 3, 3]
    assert len(worked_out) == 1
    assert (length(other, one), length([1], other)) == (3, 3)
    assert len(worked_out) == 3


def test_objects_that_come_and_go_are_never_mistaken() -> None:
    """One that is gone may leave its identity to another."""
    length, _ = remembered_sum()
    for size in range(1_000):
        assert length([0] * (size % 7), []) == size % 7
