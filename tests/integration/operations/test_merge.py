"""Merging members: a union by event, whatever comes before and after."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from click.testing import Result

from shared.accounting.check import read_counters, search
from shared.accounting.holds import HoldRefused, place_hold, release_hold
from shared.accounting.overrides import grant_override
from shared.accounting.posting import MemberMerged, Posting
from shared.domain.client import EVERY_PAYER
from shared.domain.hold import Override
from shared.domain.hold_records import NewOverride
from shared.domain.records import MemberRef
from tests.builders import PAYER, hold_request, service
from tests.desk import CLIENT, NPI, Desk
from tests.folding import decided

YEAR = date(2026, 1, 1)


def _merge(desk: Desk, source: str, into: str, *more: str) -> Result:
    return desk.merge(f"SAMPLE-{source}", f"SAMPLE-{into}", *more)


def _both(desk: Desk) -> tuple[MemberRef, MemberRef]:
    """Old with 12 visits and New with 9, counted."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record_many(old, 12)
    desk.record_many(new, 9)
    desk.drain()
    return old, new


def _sound(desk: Desk, *refs: MemberRef) -> None:
    """The stored state is the fold from nothing, a rebuild finds nothing, and the ledger is whole."""
    stored, rebuilt = desk.states(*refs)
    assert stored == rebuilt
    assert desk.rebuild(*refs).differing == ()
    verified = desk.needlecap("ledger", "verify")
    assert verified.exit_code == 0, verified.output
    assert desk.needlecap("reconcile").exit_code == 0


def test_merge_is_a_union_by_event_under_one_limit(desk: Desk) -> None:
    """12 and 9 become 20 counted and one over the limit (E31); ledger and command say how they moved."""
    old, new = _both(desk)
    result = _merge(desk, "OLD", "NEW")
    assert result.exit_code == 0, result.output
    first, *listed, last = result.stdout.splitlines()
    ((merge_id,),) = desk.office.rows("select merge_id from member_merge")
    assert first == "merged, spans of enrollment brought along: 0"
    assert listed[1] == f"payer {PAYER}: members 2, visits 1, units used 21 -> 20"
    assert f"`needlecap changes merge {merge_id}`" in last
    assert desk.needlecap("changes", "merge", merge_id).stdout.splitlines() == listed
    assert "SAMPLE" not in result.output
    assert desk.used(old) == []
    assert desk.used(new) == [(YEAR, 20, 0)]
    assert sorted(desk.dispositions().values()).count("over_limit") == 1
    moved = dict(
        desk.office.rows(
            "select member_id, sum(used_delta)::int from ledger_entry where cause_kind = 'merge' group by 1"
        )
    )
    assert moved == {"SAMPLE-OLD": -12, "SAMPLE-NEW": 11}
    _sound(desk, old, new)


def test_what_both_reported_is_a_possible_duplicate(desk: Desk) -> None:
    """The same session told of under both ids is counted once, and an operator is asked."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record(old, "v1", provider={"npi": NPI})
    desk.record(new, "v2", provider={"npi": NPI})
    desk.drain()
    assert _merge(desk, "OLD", "NEW").exit_code == 0
    assert desk.dispositions() == {"v1": "counted", "v2": "possible_duplicate"}
    listed = desk.needlecap("duplicates", "list").stdout
    assert "possible duplicates: 1" in listed
    assert "v1" in next(line for line in listed.splitlines() if "v2" in line)
    _sound(desk, old, new)


def test_later_events_of_both_names_count_for_one(desk: Desk) -> None:
    """New visits, voids and corrections that name the old id, or move between both, reach the new one."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    first = desk.record_many(old, 3)
    desk.drain()
    assert _merge(desk, "OLD", "NEW").exit_code == 0
    desk.record(old, "named-old")
    desk.record(new, "named-new")
    desk.void(first[0])
    desk.correct(new, first[1])
    desk.correct(old, first[2], on="2025-06-01")
    desk.drain()
    assert desk.used(new) == [(date(2025, 1, 1), 1, 0), (YEAR, 3, 0)]
    assert desk.used(old) == []
    _sound(desk, old, new)


def test_events_that_waited_during_the_merge_count_for_one(desk: Desk) -> None:
    """Events accepted before the merge and applied after it reach the member that stays."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record_many(old, 2)
    desk.void(desk.record_many(old, 1)[0])
    assert _merge(desk, "OLD", "NEW").exit_code == 0
    desk.drain()
    assert desk.used(new) == [(YEAR, 2, 0)]
    _sound(desk, old, new)


def test_checks_and_searches_of_both_names_answer_the_same(desk: Desk) -> None:
    """From Postgres and with counters in Redis, also when the old name's counter was there before."""
    old, new = _both(desk)
    desk.counters().project(desk.drain())
    assert desk.needlecap("rebuild").exit_code == 0
    assert _merge(desk, "OLD", "NEW").exit_code == 0
    desk.record(old, "pending")
    for images in ({}, read_counters(desk.counters(), [old, new])):
        with desk.database.transaction([PAYER]) as tx:
            by_old, by_new = (decided(tx, desk.rules, images, ref, service()) for ref in (old, new))
            searched = [search(tx, desk.rules, images, ref, date(2026, 5, 5)) for ref in (old, new)]
        assert by_old.decision == by_new.decision == "not_covered"
        assert by_old.limits == by_new.limits
        assert [limit.used for limit in by_old.limits] == [20]
        assert [limit.pending_events for limit in by_old.limits] == [1]
        assert searched[0] == searched[1] != ()


def test_merges_follow_one_another(desk: Desk) -> None:
    """Who was merged into one that is merged itself leads to the last."""
    refs = [desk.enroll(name) for name in ("A", "B", "C")]
    for ref in refs:
        desk.record_many(ref, 2)
    desk.drain()
    assert _merge(desk, "A", "B").exit_code == 0
    assert _merge(desk, "B", "C").exit_code == 0
    assert [desk.used(ref) for ref in refs] == [[], [], [(YEAR, 6, 0)]]
    desk.record_many(refs[0], 1)
    desk.drain()
    assert desk.used(refs[2]) == [(YEAR, 7, 0)]
    _sound(desk, *refs)


def test_enrollment_of_the_old_name_is_brought_along(desk: Desk) -> None:
    """A new member number after a change of subscriber keeps what was counted under the old (E32)."""
    old = desk.enroll("OLD", start="2020-01-01", end="2026-07-01")
    new = desk.enroll("NEW", start="2026-06-01")
    desk.record_many(old, 4, on="2026-03-04")
    desk.record_many(new, 2, on="2026-08-04")
    desk.drain()
    result = _merge(desk, "OLD", "NEW")
    assert result.stdout.splitlines()[0] == "merged, spans of enrollment brought along: 1"
    spans = desk.office.rows(
        "select starts_on, ends_on from enrollment where member_id = 'SAMPLE-NEW' order by 1"
    )
    assert spans == [(date(2020, 1, 1), date(2026, 6, 1)), (date(2026, 6, 1), None)]
    assert desk.used(new) == [(YEAR, 6, 0)]
    _sound(desk, old, new)


def test_enrollment_may_be_left(desk: Desk) -> None:
    """Where the old name's enrollment was a mistake, its visits are not covered by it any more."""
    old = desk.enroll("OLD", end="2026-06-01")
    new = desk.enroll("NEW", start="2026-06-01")
    desk.record_many(old, 1)
    desk.drain()
    assert _merge(desk, "OLD", "NEW", "--leave-enrollment").exit_code == 0
    assert set(desk.dispositions().values()) == {"not_covered"}
    _sound(desk, old, new)


def test_plan_change_that_names_the_old_member_folds_the_new(desk: Desk) -> None:
    """A request to fold the old name again, which is enrolled still, is worked off in the new one's book."""
    old, new = _both(desk)
    _merge(desk, "OLD", "NEW")
    desk.office.change("update plan set plan_year_start = '07-01'")
    desk.office.change(
        "insert into refold_request (payer_id, member_id, shard, reason)"
        " values (%s, 'SAMPLE-OLD', 3, 'plan')",
        PAYER,
    )
    desk.drain()
    assert desk.office.rows("select count(*) from refold_request") == [(0,)]
    assert desk.used(new) == [(date(2025, 7, 1), 20, 0)]
    _sound(desk, old, new)


def test_same_merge_again_is_nothing(desk: Desk) -> None:
    """It can be run twice; neither version moves."""
    old, new = _both(desk)
    _merge(desk, "OLD", "NEW")
    versions = desk.version(old), desk.version(new)
    again = _merge(desk, "OLD", "NEW")
    assert (again.exit_code, again.stdout) == (0, "merged before: nothing to do\n")
    assert (desk.version(old), desk.version(new)) == versions


@pytest.mark.parametrize(
    ("source", "into", "why"),
    [
        ("OLD", "OLD", "into itself"),
        ("OLD", "NOBODY", "nothing on record of the second id"),
        ("NOBODY", "NEW", "nothing on record of the first id"),
        ("NOBODY", "NONE", "nothing on record of the first and of the second id"),
        ("OLD", "THIRD", "the first id was merged into another one before"),
        ("NEW", "OLD", "the second id was itself merged"),
    ],
)
def test_merge_that_makes_no_sense_is_refused(desk: Desk, source: str, into: str, why: str) -> None:
    """Nothing is changed, and no id is repeated."""
    old, new = _both(desk)
    desk.enroll("THIRD")
    _merge(desk, "OLD", "NEW")
    before = desk.states(old, new)
    result = _merge(desk, source, into)
    assert result.exit_code == 1
    assert why in result.output
    assert "SAMPLE" not in result.output
    assert desk.states(old, new) == before
    slip = desk.needlecap("members", "merge", "--payer", "nobody-here", given="SAMPLE-OLD\nSAMPLE-NEW\n")
    assert (slip.exit_code, "There is no such payer." in slip.stderr) == (1, True)


def test_what_is_no_two_ids_is_refused(desk: Desk) -> None:
    """Before anything is looked up, and without repeating what was given."""
    result = desk.needlecap("members", "merge", "--payer", PAYER, given="SAMPLE-OLD\n")
    assert result.exit_code == 2
    assert "must hold 2 ids" in result.output
    assert "SAMPLE" not in result.output


def test_enrollment_of_a_merged_member_is_refused(desk: Desk) -> None:
    """A change that names the old member must say the new one: its spans are not the new one's."""
    old, _ = _both(desk)
    _merge(desk, "OLD", "NEW")
    with desk.database.transaction(EVERY_PAYER) as tx, pytest.raises(MemberMerged):
        Posting(tx, desk.rules, datetime.now(UTC)).open([old])


def _hold(desk: Desk, ref: MemberRef, hold_id: str, on: str = "2026-06-01") -> None:
    """A hold of one unit."""
    request = hold_request(hold_id, ref, on)
    with desk.database.transaction(EVERY_PAYER) as tx:
        place_hold(tx, desk.rules, datetime.now(UTC), request)
        tx.commit()


def test_holds_come_along_and_are_posted_under_either_name(desk: Desk) -> None:
    """What was held for the old name is held for the new, and a visit of either name takes it."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record_many(old, 2)
    _hold(desk, old, "hld_1")
    _hold(desk, old, "hld_2")
    desk.drain()
    assert desk.used(old) == [(YEAR, 2, 2)]
    assert _merge(desk, "OLD", "NEW").exit_code == 0
    assert (desk.used(old), desk.used(new)) == ([], [(YEAR, 2, 2)])
    desk.record(old, "named-old", on="2026-06-01", hold_id="hld_1")
    desk.record(new, "named-new", on="2026-06-01", hold_id="hld_2")
    desk.drain()
    assert desk.used(new) == [(YEAR, 4, 0)]
    assert desk.office.rows("select state from hold") == [("posted",), ("posted",)]
    _sound(desk, old, new)


def test_hold_and_override_of_the_old_name_are_the_new_ones(desk: Desk) -> None:
    """A client that still knows the old name holds, releases and is granted units of the new."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record_many(new, 19)
    desk.drain()
    assert _merge(desk, "OLD", "NEW").exit_code == 0
    _hold(desk, old, "hld_1")
    assert desk.used(new) == [(YEAR, 19, 1)]
    with pytest.raises(HoldRefused):
        _hold(desk, old, "hld_2")
    grant = NewOverride(
        override=Override(override_id="ovr_1", limit_id="dry-needling", service_date=YEAR, quantity=1),
        ref=old,
        client_id=CLIENT,
        approver="pat",
        reason="appeal",
        created_at=datetime.now(UTC),
    )
    with desk.database.transaction(EVERY_PAYER) as tx:
        grant_override(tx, desk.rules, grant.created_at, grant)
        tx.commit()
    _hold(desk, new, "hld_2")
    assert desk.used(new) == [(YEAR, 19, 2)]
    with desk.database.transaction(EVERY_PAYER) as tx:
        held = tx.holds.find("hld_1")
        assert held is not None
        release_hold(tx, desk.rules, datetime.now(UTC), held)
        tx.commit()
    assert desk.used(new) == [(YEAR, 19, 1)]
    _sound(desk, old, new)


def test_hold_that_finds_no_room_after_the_merge_keeps_nothing(desk: Desk) -> None:
    """Fifteen and five with a hold each fill the limit: no version of it is over (I3)."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record_many(old, 15)
    desk.record_many(new, 5)
    desk.drain()
    _hold(desk, old, "hld_1")
    _hold(desk, new, "hld_2")
    assert _merge(desk, "OLD", "NEW").exit_code == 0
    ((_, used, held),) = desk.used(new)
    assert used + held == 20
    ((merge_id,),) = desk.office.rows("select merge_id from member_merge")
    listed = desk.needlecap("changes", "merge", merge_id).stdout
    assert "used 15 -> 0, held 1 -> 0" in listed
    assert "holds" not in listed  # Which of them stand otherwise is not recorded: unknown is not 0.
    _sound(desk, old, new)
