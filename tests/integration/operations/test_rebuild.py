"""Rebuilding: the stored state becomes what the events add up to, whatever was done to it."""

from __future__ import annotations

import random
from datetime import date

import pytest

from tests.dead_events import CALL_DEAD
from tests.desk import Desk, member

#: What may be broken behind the services' back, each with the statement that breaks it.
DAMAGE = {
    "used": "update accumulator set used = used + 2, allowed = 40",
    "period": "update accumulator set period_start = '2024-01-01', period_end = '2025-01-01' where used = 20",
    "in_use": "update accumulator set in_use = false",
    "accumulator_version": "update accumulator set version = 0",
    "visit_content": "update visit set corrected_by = arrival - 1 where visit_id = 'v5'",
    "visit_disposition": "update visit set disposition = 'over_limit' where visit_id = 'v1'",
    "visit_outcome": "update visit_outcome set outcome = jsonb_set(outcome, '{postings}', '[]')",
    "visit_void": "update visit set voided_by = null",
    "visit_owner": "update visit set member_id = 'SAMPLE-OTHER' where visit_id = 'v1'",
    "visit_unattributed": "update visit set member_id = null where visit_id = 'v1'",
    "visit_lost": "delete from visit where visit_id = 'v2'",
    "last_event": "update visit set last_event = 1",
}


def _lived(desk: Desk) -> None:
    """A member with counted, voided, corrected and over-limit visits, and a second with one."""
    ann = desk.enroll("ANN")
    other = desk.enroll("OTHER")
    for number in range(1, 23):
        desk.record(ann, f"v{number}")
    desk.record(other, "o1")
    desk.drain()
    desk.void("v3")
    desk.correct(ann, "v4", on="2025-12-31")
    desk.void("never-recorded")
    desk.drain()


def test_member_as_it_should_be_keeps_its_version(desk: Desk) -> None:
    """A rebuild of a right state finds nothing, writes nothing and posts nothing."""
    _lived(desk)
    ann = member("ANN")
    before = desk.version(ann)
    found = desk.rebuild(ann, member("OTHER"))
    assert (found.members, found.visits, found.differing, found.entries) == (2, 23, (), 0)
    assert desk.version(ann) == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_state_is_put_right(desk: Desk, damage: str) -> None:
    """Whatever a row says, after a rebuild the state is the fold from nothing, byte for byte."""
    _lived(desk)
    ann, other = member("ANN"), member("OTHER")
    right, rebuilt = desk.states(ann, other)
    assert right == rebuilt
    desk.office.change(DAMAGE[damage])
    assert desk.states(ann, other)[0] != right or damage in {"accumulator_version", "last_event"}
    result = desk.needlecap("rebuild")
    assert result.exit_code == 0, result.output
    assert "differing members: 0" not in result.stdout
    assert desk.states(ann, other) == (right, right)
    again = desk.needlecap("rebuild", "--check")
    assert again.exit_code == 0, again.output
    assert "differing members: 0, visits not as their events say: 0" in again.stdout
    assert desk.needlecap("ledger", "verify").exit_code == 0


def test_damage_to_rows_alone_posts_nothing(desk: Desk) -> None:
    """Where only rows are wrong and the ledger is right, rows are written and the ledger stays."""
    _lived(desk)
    entries = desk.office.rows("select count(*) from ledger_entry")
    desk.office.change(DAMAGE["used"])
    desk.office.change(DAMAGE["visit_outcome"])
    found = desk.rebuild(member("ANN"), member("OTHER"))
    assert set(found.differing) == {member("ANN"), member("OTHER")}
    assert found.entries == 0
    assert desk.office.rows("select count(*) from ledger_entry") == entries


def test_visit_that_strayed_is_brought_home_without_a_trace(desk: Desk) -> None:
    """A row that names the wrong member, or nobody, is put right; no unit moved, so none is posted."""
    _lived(desk)
    entries = desk.office.rows("select count(*) from ledger_entry")
    for damage in ("visit_owner", "visit_unattributed", "visit_lost"):
        desk.office.change(DAMAGE[damage])
        assert desk.needlecap("rebuild").exit_code == 0
        assert desk.rebuild(member("ANN"), member("OTHER"), keep=False).differing == ()
    assert desk.office.rows("select count(*) from ledger_entry") == entries


def test_difference_is_posted_with_its_cause(desk: Desk) -> None:
    """Units that the ledger lacks are posted as what they are: found by a rebuild."""
    _lived(desk)
    ann = member("ANN")
    desk.office.change(CALL_DEAD.format("e.visit_id = 'v1'"))
    desk.rebuild(ann)
    posted = desk.office.rows(
        "select visit_id, used_delta from ledger_entry where cause_kind = 'rebuild' order by entry_no"
    )
    assert posted == [("v1", -1)]
    assert desk.used(ann) == [(date(2025, 1, 1), 1, 0), (date(2026, 1, 1), 19, 0)]
    assert desk.needlecap("ledger", "verify").exit_code == 0


def test_check_only_changes_nothing(desk: Desk) -> None:
    """With --check the difference is found, said by the exit code, and left."""
    _lived(desk)
    desk.office.change(DAMAGE["used"])
    before = desk.office.rows("select member_id, used, version from accumulator order by 1, 2")
    result = desk.needlecap("rebuild", "--check")
    assert result.exit_code == 1
    assert "differing members: 2," in result.stdout
    assert desk.office.rows("select member_id, used, version from accumulator order by 1, 2") == before


def test_events_in_any_order_come_to_the_same_state(desk: Desk) -> None:
    """Batches of voids, corrections and moves between members leave what a fold from nothing gives."""
    dice = random.Random(7)
    refs = [desk.enroll(name) for name in ("A", "B", "C")]
    for round_number in range(6):
        for number in range(12):
            ref, day = dice.choice(refs), f"202{dice.choice('56')}-0{dice.randint(1, 9)}-11"
            known = f"v{dice.randint(0, round_number)}-{dice.randint(0, 11)}"
            kind = dice.random()
            if kind < 0.6:
                desk.record(ref, f"v{round_number}-{number}", day)
            elif kind < 0.8:
                desk.correct(ref, known, day)
            else:
                desk.void(known)
        desk.drain()
    stored, rebuilt = desk.states(*refs)
    assert stored == rebuilt
    versions = [desk.version(ref) for ref in refs]
    assert desk.rebuild(*refs).differing == ()
    assert [desk.version(ref) for ref in refs] == versions
    assert desk.needlecap("ledger", "verify").exit_code == 0


def test_only_named_members_are_rebuilt(desk: Desk) -> None:
    """A member file bounds a rebuild to those in it; one who is not known is said and fails."""
    _lived(desk)
    desk.office.change(DAMAGE["used"])
    files = {"members.txt": "SAMPLE-ANN\n\n"}
    named = ("rebuild", "--payer", member("ANN").payer_id, "--member-file")
    result = desk.needlecap(*named, str(desk.data_dir / "members.txt"), files=files)
    assert result.exit_code == 0, result.output
    assert "members: 1, visits: 22, differing members: 1," in result.stdout
    assert desk.rebuild(member("OTHER"), keep=False).differing == (member("OTHER"),)
    files = {"members.txt": "SAMPLE-NOBODY\n"}
    result = desk.needlecap(*named, str(desk.data_dir / "members.txt"), files=files)
    assert result.exit_code == 1
    assert "SAMPLE-NOBODY" not in result.output
    assert "line 1" in result.output


def test_counters_are_shown_again(desk: Desk) -> None:
    """A rebuild fills an empty Redis with every member's counter."""
    _lived(desk)
    assert desk.needlecap("rebuild").exit_code == 0
    shown = desk.counters().read([member("ANN"), member("OTHER")])
    assert {ref.member_id: image.version for ref, image in shown.items()} == {
        "SAMPLE-ANN": desk.version(member("ANN")),
        "SAMPLE-OTHER": desk.version(member("OTHER")),
    }


def test_requested_refold_is_done_and_is_no_difference(desk: Desk) -> None:
    """What waits to be folded again because a plan changed is folded, and not called wrong."""
    _lived(desk)
    desk.office.change("update plan set plan_year_start = '07-01'")
    desk.office.change(
        "insert into refold_request (payer_id, member_id, shard, reason)"
        " values ('security-health-plan', 'SAMPLE-ANN', 1, 'plan_changed')"
    )
    found = desk.rebuild(member("ANN"))
    assert found.differing == ()
    assert desk.used(member("ANN"))[-1][0] == date(2025, 7, 1)
    assert desk.office.rows("select count(*) from refold_request") == [(0,)]


def test_one_member_that_cannot_be_rebuilt_keeps_none_other_waiting(desk: Desk) -> None:
    """A fault is said by its kind alone; everybody else is put right, and the exit code is 1."""
    _lived(desk)
    desk.office.change(DAMAGE["used"])
    desk.office.change("update visit_event set content = content::jsonb - 'lines' where visit_id = 'o1'")
    result = desk.needlecap("rebuild")
    assert result.exit_code == 1
    assert "not rebuilt: 1 (KeyError)" in result.stderr
    assert "differing members: 1," in result.stdout
    assert desk.rebuild(member("ANN"), keep=False).differing == ()


def test_many_years_of_one_member_are_rebuilt_from_their_events_alone(desk: Desk) -> None:
    """With every counted visit and every accumulator gone, each year's count is there again."""
    ann = desk.enroll("ANN")
    for year in range(2000, 2026):
        desk.record_many(ann, 2, on=f"{year}-05-05")
    desk.drain()
    desk.office.change("delete from visit where disposition = 'counted'")
    desk.office.change("delete from accumulator")
    assert desk.needlecap("rebuild").exit_code == 0
    stored, rebuilt = desk.states(ann)
    assert stored == rebuilt
    assert desk.needlecap("ledger", "verify").exit_code == 0


@pytest.mark.parametrize("damage", ["used", "in_use", "accumulator_version", "accumulator_lost", "unposted"])
def test_ledger_alone_restores_counts_and_counters(desk: Desk, damage: str) -> None:
    """What the ledger adds up to is set at once and shown in Redis; the worker folds the rest again."""
    _lived(desk)
    refs = [member("ANN"), member("OTHER")]
    right, _ = desk.states(*refs)
    more = {
        "accumulator_lost": "delete from accumulator",
        "unposted": "update accumulator set limit_id = 'another', allowed = 40 where used = 20",
    }
    desk.office.change({**DAMAGE, **more}[damage])
    result = desk.needlecap("rebuild", "--from-ledger")
    assert result.exit_code == 0, result.output
    assert desk.needlecap("ledger", "verify").exit_code == 0
    desk.drain()
    assert desk.states(*refs) == (right, right)
    assert desk.needlecap("rebuild", "--from-ledger").stdout == (
        "members: 2, set to what the ledger says: 0\n"
    )
    assert desk.counters().read(refs).keys() == set(refs)
    assert "wrong and written anew: 0" in desk.needlecap("reconcile").stdout
