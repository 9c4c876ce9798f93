"""Dead events: seen, tried again in their place, or given up with a word why."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from shared.domain.client import EVERY_PAYER
from tests.builders import NOW, PAYER
from tests.dead_events import MAKE_DEAD
from tests.desk import Desk, member


def _number_of(desk: Desk, event_id: str) -> int:
    return int(desk.office.rows("select arrival from visit_event where event_id = %s", event_id)[0][0])


def _dead(desk: Desk, event_id: str) -> int:
    """Make an event that was not applied yet dead, as too many failures do; its number."""
    desk.office.change(MAKE_DEAD, event_id)
    return _number_of(desk, event_id)


def _counts(desk: Desk) -> tuple[int, int]:
    """(received, applied + rejected + dead + pending) of the payer."""
    with desk.database.transaction(EVERY_PAYER) as tx:
        counts = tx.standing.event_counts()[PAYER]
    return counts.received, counts.applied + counts.rejected + counts.dead + counts.pending


def test_dead_events_are_listed_without_a_person(desk: Desk) -> None:
    """Number, client, event and kind of error are shown; member and dates of service are not."""
    ann = desk.enroll("ANN")
    number = _dead(desk, desk.record(ann, "v1", on="2026-02-03"))
    result = desk.needlecap("dead-letters", "list")
    assert result.exit_code == 0, result.output
    assert str(number) in result.stdout
    assert "KeyError" in result.stdout
    assert "dead events: 1, shown: 1" in result.stdout
    assert "SAMPLE-ANN" not in result.stdout
    assert "2026-02-03" not in result.stdout


def test_retried_event_is_applied_in_the_place_where_it_arrived(desk: Desk) -> None:
    """The first visit, dead while twenty others were counted, is counted again ahead of the last."""
    ann = desk.enroll("ANN")
    first = _dead(desk, desk.record(ann, "first"))
    others = desk.record_many(ann, 20)
    desk.drain()
    assert desk.dispositions()[others[-1]] == "counted"
    result = desk.needlecap("dead-letters", "retry", str(first))
    assert result.exit_code == 0, result.output
    assert "retried: 1" in result.stdout
    desk.drain()
    assert desk.dispositions()["first"] == "counted"
    assert desk.dispositions()[others[-1]] == "over_limit"
    stored, rebuilt = desk.states(ann)
    assert stored == rebuilt


def test_retry_is_safe_to_run_twice(desk: Desk) -> None:
    """An event that is not dead any more is left as it is and said; one that never was fails."""
    number = str(_dead(desk, desk.record(desk.enroll("ANN"), "v1")))
    assert desk.needlecap("dead-letters", "retry", number).exit_code == 0
    again = desk.needlecap("dead-letters", "retry", number)
    assert again.exit_code == 0
    assert "retried: 0" in again.stdout
    assert "left as it is: pending" in again.stderr
    assert desk.needlecap("dead-letters", "retry", "999999").exit_code == 1


def test_all_dead_events_are_retried(desk: Desk) -> None:
    """With --all every dead event is, save those that were discarded."""
    ann = desk.enroll("ANN")
    numbers = [_dead(desk, desk.record(ann, f"v{n}")) for n in range(5)]
    desk.needlecap("dead-letters", "discard", str(numbers[0]), "--reason", "sent by a test system")
    result = desk.needlecap("dead-letters", "retry", "--all", "--payer", PAYER)
    assert "retried: 4" in result.stdout
    assert desk.office.pending() == 4
    assert desk.needlecap("dead-letters", "retry", str(numbers[0])).stdout == "retried: 0\n"


def test_discarded_event_stays_on_record(desk: Desk) -> None:
    """It is dead for good, with who, when and why; received is still the sum of the rest (I7)."""
    number = _dead(desk, desk.record(desk.enroll("ANN"), "v1"))
    arguments = ("dead-letters", "discard", str(number), "--reason", "test system", "--by", "pat")
    assert "discarded: 1" in desk.needlecap(*arguments).stdout
    assert "discarded: 0" in desk.needlecap(*arguments).stdout
    assert _counts(desk) == (1, 1)
    assert "dead events: 0, shown: 0" in desk.needlecap("dead-letters", "list").stdout
    listed = desk.needlecap("dead-letters", "list", "--discarded").stdout
    assert "discarded events: 1, shown: 1" in listed
    assert "pat" in listed
    assert "test system" in listed


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["retry", "1", "--all"],
        ["retry", "1", "--payer", PAYER],
        ["discard", "1"],
        ["discard", "1", "--reason", "  "],
    ],
)
def test_choice_that_is_not_clear_is_refused(desk: Desk, arguments: list[str]) -> None:
    """Nothing is changed by a command that does not say what, or why."""
    number = _dead(desk, desk.record(desk.enroll("ANN"), "v1"))
    assert desk.needlecap("dead-letters", *arguments).exit_code == 2
    status: list[Any] = desk.office.rows("select status from visit_event_in_full where arrival = %s", number)
    assert status == [("dead",)]


def test_only_a_dead_event_can_be_discarded(desk: Desk) -> None:
    """An applied event stays applied; and the database itself refuses one that nobody discarded."""
    number = _number_of(desk, desk.record(desk.enroll("ANN"), "v1"))
    desk.drain()
    with desk.office.database.transaction(["*"]) as tx:
        assert tx.dead_letters.discard([number], "pat", "test", NOW) == []
        assert tx.dead_letters.statuses([number]) == {number: "applied"}
    _dead(desk, desk.record(member("ANN"), "v2"))
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.office.change("update visit_event_dead set discarded_at = now()")
    assert desk.used(member("ANN"))[0][1] == 1


@pytest.mark.parametrize(
    "command",
    [
        ["dead-letters", "list"],
        ["dead-letters", "retry", "--all"],
        ["dead-letters", "discard", "--all", "--reason", "tests"],
        ["duplicates", "list"],
    ],
)
def test_unknown_payer_is_no_empty_list(desk: Desk, command: list[str]) -> None:
    """A slip in a payer's id is said, and not answered as if nothing were there."""
    result = desk.needlecap(*command, "--payer", "no-such-payer")
    assert result.exit_code == 1
    assert "There is no such payer." in result.output
