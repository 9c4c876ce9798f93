"""Holds during a fold: what they keep, who posts them, and when they are over (contract section 4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from shared.domain.history import MemberState
from shared.domain.visit import VisitKey
from tests.builders import history, service, visit
from tests.folding import DAY, ask, counted, dispositions, fold, hold, lines, reasons, used
from tests.rules import limit_row, plain_rules

ONE = plain_rules(limit_row(allowed=1))
TWO = plain_rules(limit_row(allowed=2))


def held(state: MemberState) -> int:
    """The units that holds keep, over all accumulators."""
    return sum(accumulator.held for accumulator in state.accumulators.values())


def states(state: MemberState) -> dict[str, str]:
    """What became of each hold."""
    return {name: outcome.state for name, outcome in state.holds.items()}


def test_a_pending_hold_keeps_its_unit_from_other_visits() -> None:
    """Held units are not used, and nobody else may have them."""
    state = fold(visit(2), holds=(hold(arrival=1),), rules=ONE)
    assert states(state) == {"h1": "pending"}
    assert (used(state)["dry-needling"], held(state)) == (0, 1)
    assert dispositions(state) == {"v2": "over_limit"}


def test_the_visit_that_names_a_hold_posts_it_as_one_count() -> None:
    """E39: hold and visit are one unit, not two."""
    state = fold(visit(2, hold_id="h1"), holds=(hold(arrival=1),), rules=ONE)
    assert states(state) == {"h1": "posted"}
    assert (used(state)["dry-needling"], held(state)) == (1, 0)
    assert reasons(state, "v2") == ["within_limit"]


def why(state: MemberState, visit_id: str) -> str:
    """What is said of the hold that a visit names and leaves as it is."""
    found = next(outcome for key, outcome in state.visits.items() if key.visit_id == visit_id)
    (text,) = (reason.text for reason in found.reasons if reason.code == "hold_not_used")
    return text


def test_a_visit_that_names_no_hold_of_the_member_says_so() -> None:
    """A slip in the id would quietly take a second unit."""
    state = fold(visit(2, hold_id="typo"), visit(3, hold_id="h1"), holds=(hold(),), rules=TWO)
    assert reasons(state, "v2") == ["within_limit", "hold_not_used"]
    assert "no hold" in why(state, "v2")
    assert reasons(state, "v3") == ["within_limit"]


def test_a_visit_that_comes_too_late_for_its_hold_says_so() -> None:
    """It went to another visit, or was over."""
    state = fold(visit(2, hold_id="h1"), visit(3, hold_id="h1"), holds=(hold(),), rules=TWO)
    assert "another visit" in why(state, "v3")
    over = hold(ended=(5, "expired"))
    assert "expired" in why(fold(visit(6, hold_id="h1"), holds=(over,)), "v6")


def test_a_posted_hold_is_ahead_of_the_order() -> None:
    """The visit that names the hold has the last unit, though another arrived before it."""
    state = fold(visit(2), visit(3, hold_id="h1"), holds=(hold(arrival=1),), rules=ONE)
    assert counted(state) == ["v3"]
    assert dispositions(state)["v2"] == "over_limit"


@pytest.mark.parametrize("end_state", ["released", "expired"])
def test_a_hold_that_ended_leaves_its_unit_to_the_next_in_order(end_state: str) -> None:
    """After release or expiry the unit is free, and a visit that names the hold is an ordinary one."""
    over = hold(arrival=1, ended=(5, end_state))
    state = fold(visit(6), visit(7, hold_id="h1"), holds=(over,), rules=ONE)
    assert states(state) == {"h1": end_state}
    assert counted(state) == ["v6"]
    assert dispositions(state)["v7"] == "over_limit"


def test_a_visit_that_arrived_before_the_end_still_posts_its_hold() -> None:
    """What arrived in time is not undone by the hold's end that was recorded later."""
    over = hold(arrival=1, ended=(5, "expired"))
    state = fold(visit(2), visit(3, hold_id="h1"), holds=(over,), rules=ONE)
    assert states(state) == {"h1": "posted"}
    assert counted(state) == ["v3"]


@pytest.mark.parametrize("status", ["no_show", "cancelled"])
def test_a_visit_that_does_not_take_place_releases_its_hold(status: str) -> None:
    """E40: the no-show's unit goes to the next in order."""
    state = fold(visit(2, hold_id="h1", visit_status=status), visit(3), holds=(hold(),), rules=ONE)
    assert states(state) == {"h1": "released"}
    assert counted(state) == ["v3"]
    assert reasons(state, "v2") == ["not_completed"]


def test_a_voided_visit_releases_the_hold_it_posted() -> None:
    """The unit comes free with the void."""
    gone = replace(visit(2, hold_id="h1"), voided_by=9)
    state = fold(gone, visit(3), holds=(hold(),), rules=ONE)
    assert states(state) == {"h1": "released"}
    assert counted(state) == ["v3"]
    assert reasons(state, "v2") == ["voided"]


@pytest.mark.parametrize(
    "what",
    [
        {"self_pay": True},
        {"service": service(date(2027, 3, 4))},
        {"service": service(DAY, state="HI")},
        {"service": service(DAY, ("97110",))},
    ],
)
def test_a_visit_that_does_not_qualify_leaves_its_hold_pending(what: dict[str, Any]) -> None:
    """Paid by the patient, in another period, unknown or no needling: the promise stands."""
    state = fold(visit(2, **{"hold_id": "h1", **what}), visit(3), holds=(hold(),), rules=ONE)
    assert states(state) == {"h1": "pending"}
    assert "stays as it is" in why(state, "v2")
    assert dispositions(state)["v3"] == "over_limit"


def test_the_next_visit_posts_a_hold_whose_first_visit_did_not_qualify() -> None:
    """A mistaken report that names the hold does not lock it up."""
    state = fold(visit(2, hold_id="h1", self_pay=True), visit(3, hold_id="h1"), holds=(hold(),), rules=ONE)
    assert states(state) == {"h1": "posted"}
    assert counted(state) == ["v3"]


def test_a_visit_that_another_client_reports_posts_the_hold_it_names() -> None:
    """A hold is the member's: a clinic may hold through one system and report through another."""
    theirs = replace(visit(2, hold_id="h1"), key=VisitKey(client_id="billing", visit_id="v2"))
    state = fold(theirs, visit(3), holds=(hold(arrival=1),), rules=ONE)
    assert states(state) == {"h1": "posted"}
    assert (counted(state), held(state)) == (["v2"], 0)


def test_a_posting_visit_that_is_corrected_elsewhere_leaves_its_hold_pending() -> None:
    """Posted to a visit that then moves to another year: the units are kept until the hold ends."""
    moved = visit(2, date(2027, 3, 4), hold_id="h1")
    state = fold(moved, visit(3), holds=(hold(arrival=1),), rules=ONE)
    assert states(state) == {"h1": "pending"}
    assert (counted(state), held(state)) == (["v2"], 1)


def test_only_one_visit_posts_a_hold() -> None:
    """Of two that name it the first to arrive has its unit; the other is an ordinary visit."""
    state = fold(visit(2, hold_id="h1"), visit(3, hold_id="h1"), holds=(hold(),), rules=ONE)
    assert counted(state) == ["v2"]
    assert dispositions(state)["v3"] == "over_limit"


def test_two_holds_for_the_last_unit_keep_one() -> None:
    """Should two stand in one history, the first keeps the unit and the other keeps nothing."""
    state = fold(holds=(hold("h2", arrival=2), hold("h1", arrival=1)), rules=ONE)
    assert held(state) == 1
    assert state.holds["h1"].postings
    assert not state.holds["h2"].postings


def test_a_hold_that_no_longer_fits_leaves_its_visit_an_ordinary_one() -> None:
    """The limit was lowered to nothing under the hold: its visit is over the limit like any other."""
    state = fold(visit(2, hold_id="h1"), holds=(hold(),), rules=plain_rules(limit_row(allowed=0)))
    assert dispositions(state) == {"v2": "over_limit"}
    assert held(state) == 0


def test_a_hold_keeps_its_unit_when_visits_before_it_come_to_count() -> None:
    """An enrollment loaded afterwards makes earlier visits count, but not with the promised unit."""
    state = fold(visit(1), visit(2), holds=(hold(arrival=9),), rules=TWO)
    assert counted(state) == ["v1"]
    assert held(state) == 1


def test_what_a_visit_does_not_need_of_its_hold_goes_to_the_next_in_order() -> None:
    """Two held, one used: the visit that was before it in the order has the other."""
    state = fold(visit(2), visit(3, hold_id="h1"), holds=(hold(quantity=2),), rules=TWO)
    assert counted(state) == ["v2", "v3"]
    assert (used(state)["dry-needling"], held(state)) == (2, 0)


def test_a_visit_that_needs_more_than_its_hold_takes_the_rest_in_order() -> None:
    """One unit held, three needed: two more of what is shared."""
    rules = plain_rules(limit_row(allowed=3, measure="unit"))
    bigger = visit(3, hold_id="h1", service=service(DAY, lines=lines(("20560", 3))))
    state = fold(visit(2), bigger, holds=(hold(arrival=1),), rules=rules)
    assert dispositions(state) == {"v2": "counted", "v3": "partially_counted"}
    assert used(state) == {"dry-needling": 3}


def test_a_hold_whose_visit_is_refused_by_another_limit_goes_on_keeping_its_unit() -> None:
    """The visit is over the other limit, so it posted nothing; the hold is pending until it ends."""
    rules = plain_rules(limit_row(), limit_row("therapy", 1, pool=["97110"]))
    other = visit(1, service=service(DAY, ("97110",)))
    naming = visit(3, hold_id="h1", service=service(DAY, ("20560", "97110")))
    state = fold(other, naming, holds=(hold(arrival=2),), rules=rules)
    assert dispositions(state)["v3"] == "over_limit"
    assert states(state) == {"h1": "pending"}


def test_an_ended_hold_that_nobody_posted_keeps_nothing_from_visits_before_it() -> None:
    """Its visit was refused by another limit and the hold then expired: its unit is the next in order's."""
    rules = plain_rules(limit_row(allowed=1), limit_row("therapy", 0, pool=["97110"]))
    naming = visit(3, hold_id="h1", service=service(DAY, ("20560", "97110")))
    over = hold(arrival=2, ended=(9, "expired"))
    state = fold(visit(1), naming, holds=(over,), rules=rules)
    assert counted(state) == ["v1"]
    assert states(state) == {"h1": "expired"}


def test_a_hold_does_not_open_a_full_window_for_a_visit_of_another_date() -> None:
    """A unit held on March 4 is no room on March 26, where the window is full."""
    rules = plain_rules(limit_row(allowed=1, basis="rolling_days", rolling_days=10))
    moved = visit(3, date(2026, 3, 26), hold_id="h1")
    state = fold(visit(2, date(2026, 3, 25)), moved, holds=(hold(arrival=1),), rules=rules)
    assert counted(state) == ["v2"]
    assert states(state) == {"h1": "pending"}


def test_two_holds_before_the_first_service_share_the_year_it_will_open() -> None:
    """With none open, pending holds of different dates lie in one first-service year, not one each."""
    rules = plain_rules(limit_row(allowed=1, basis="first_service_year"))
    pair = (hold("h1", date(2026, 3, 4), arrival=1), hold("h2", date(2026, 3, 11), arrival=2))
    assert held(fold(holds=pair, rules=rules)) == 1


def test_a_moved_first_appointment_posts_its_hold() -> None:
    """The first visit of a first-service year was later than held: one count, and it opens the year."""
    rules = plain_rules(limit_row(allowed=1, basis="first_service_year"))
    state = fold(visit(2, date(2026, 3, 9), hold_id="h1"), holds=(hold(arrival=1),), rules=rules)
    assert states(state) == {"h1": "posted"}
    assert [key.period.start for key, one in state.accumulators.items() if one.used] == [date(2026, 3, 9)]


def test_a_check_with_a_hold_counts_its_unit_as_free() -> None:
    """The clinic that holds the last unit is told yes, everybody else no."""
    about = history(holds=(hold(),))
    assert ask(about, ONE).decision == "not_covered"
    assert ask(about, ONE, hold_id="h1").decision == "covered"
