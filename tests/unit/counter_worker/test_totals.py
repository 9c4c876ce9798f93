"""Counts are said once, and not lost when saying them fails."""

from __future__ import annotations

import pytest

from services.counter_worker.totals import Totals


def test_taken_counts_start_again_from_zero() -> None:
    """What was said is not said again; what comes meanwhile is said next time."""
    totals = Totals()
    totals.add("events_applied", 2)
    totals.add("events_applied")
    totals.add("holds_expired", 0)
    with totals.taken() as counts:
        assert counts == {"events_applied": 3}
        totals.add("holds_expired", 5)
    with totals.taken() as counts:
        assert counts == {"holds_expired": 5}


def test_counts_that_could_not_be_said_are_kept() -> None:
    """A failed commit loses no count."""
    totals = Totals()
    totals.add("events_applied", 2)

    def fail_to_say() -> None:
        with totals.taken():
            totals.add("events_applied", 3)
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fail_to_say()
    with totals.taken() as counts:
        assert counts == {"events_applied": 5}
