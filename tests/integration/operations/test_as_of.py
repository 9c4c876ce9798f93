"""Asking how limits stood on a service date, as known at a moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from shared.accounting.as_of import limits_as_of
from shared.accounting.check import search
from shared.accounting.holds import place_hold, release_hold
from shared.accounting.overrides import grant_override, revoke_override
from shared.domain.client import EVERY_PAYER
from shared.domain.hold import Override
from shared.domain.hold_records import NewOverride
from shared.domain.records import MemberRef
from tests.builders import PAYER, hold_request
from tests.desk import CLIENT, Desk
from tests.fakes import FixedRules
from tests.rules import SimpleRules, limit_row, plain_rules

DAY = date(2026, 5, 5)

#: (allowed, used, held, remaining, version, pending events) of one limit.
Shown = tuple[int | None, int, int, int | None, int, int]


def _now(desk: Desk) -> datetime:
    """The moment by the database, which no later transaction's clock is before."""
    moment = desk.office.rows("select clock_timestamp()")[0][0]
    assert isinstance(moment, datetime)
    return moment


def _known(desk: Desk, ref: MemberRef, moment: datetime, on: date = DAY) -> Shown:
    with desk.database.transaction([PAYER]) as tx:
        (limit,) = limits_as_of(tx, desk.rules, ref, on, moment)
    return (
        limit.allowed,
        limit.used,
        limit.held,
        limit.remaining,
        limit.version,
        limit.pending_events,
    )


def test_each_moment_keeps_its_counts(desk: Desk) -> None:
    """Before, between and after visits and a void, the counts and versions are those of then."""
    ann = desk.enroll("ANN")
    moments = [_now(desk)]
    visits = desk.record_many(ann, 3)
    moments.append(_now(desk))
    desk.drain()
    moments.append(_now(desk))
    desk.void(visits[0])
    desk.drain()
    moments.append(_now(desk))
    assert [_known(desk, ann, moment) for moment in moments] == [
        (20, 0, 0, 20, 0, 0),
        (20, 0, 0, 20, 0, 3),
        (20, 3, 0, 17, 3, 0),
        (20, 2, 0, 18, 4, 0),
    ]
    assert _known(desk, ann, moments[-1], on=date(2025, 5, 5)) == (20, 0, 0, 20, 0, 0)


def test_known_now_is_what_a_search_answers(desk: Desk) -> None:
    """Asked for the present, the ledger and the accumulators say the same of every limit."""
    ann = desk.enroll("ANN")
    visits = desk.record_many(ann, 22)
    desk.record(ann, "last-year", on="2025-12-31")
    desk.drain()
    desk.void(visits[5])
    desk.drain()
    desk.record_many(ann, 1)
    with desk.database.transaction([PAYER]) as tx:
        for on in (DAY, date(2025, 1, 1), date(2027, 1, 1)):
            assert limits_as_of(tx, desk.rules, ann, on, _now(desk)) == search(tx, desk.rules, {}, ann, on)


def test_authorization_is_shown_while_something_counts_under_it(desk: Desk) -> None:
    """Once its only visit is voided, neither the present nor the ledger speaks of it any more."""
    rules = SimpleRules(plain_rules(limit_row(basis="authorization")))
    desk = replace(desk, rules=FixedRules(rules))
    ann = desk.enroll("ANN")
    desk.record(ann, "v1", authorization={"number": "A-1"})
    shown = []
    for _ in range(2):
        desk.drain()
        with desk.database.transaction([PAYER]) as tx:
            now = search(tx, desk.rules, {}, ann, DAY)
            assert limits_as_of(tx, desk.rules, ann, DAY, _now(desk)) == now
        shown.append([limit.used for limit in now])
        desk.void("v1")
    assert shown == [[1], []]


def test_late_visit_changes_no_earlier_moment(desk: Desk) -> None:
    """A visit of March that arrives after a question about March leaves that answer as it was."""
    ann = desk.enroll("ANN")
    desk.record(ann, "v1", on="2026-04-01")
    desk.drain()
    asked = _now(desk)
    desk.record(ann, "late", on="2026-03-01")
    desk.drain()
    assert _known(desk, ann, asked)[1] == 1
    assert _known(desk, ann, _now(desk))[1] == 2


def test_holds_and_overrides_are_those_of_the_moment(desk: Desk) -> None:
    """Units held, granted and taken back again are seen between their moments only."""
    ann = desk.enroll("ANN")
    grant = NewOverride(
        override=Override(override_id="ovr_1", limit_id="dry-needling", service_date=DAY, quantity=5),
        ref=ann,
        client_id=CLIENT,
        approver="pat",
        reason="appeal",
        created_at=_now(desk),
    )
    request = hold_request("hld_1", ann)
    with desk.database.transaction(EVERY_PAYER) as tx:
        grant_override(tx, desk.rules, grant.created_at, grant)
        place_hold(tx, desk.rules, grant.created_at, request)
        tx.commit()
    between = _now(desk)
    with desk.database.transaction(EVERY_PAYER) as tx:
        override, hold = tx.overrides.find("ovr_1"), tx.holds.find("hld_1")
        assert override is not None
        assert hold is not None
        later = _now(desk)
        revoke_override(tx, desk.rules, later, override)
        release_hold(tx, desk.rules, later, hold)
        tx.commit()
    assert _known(desk, ann, grant.created_at - timedelta(seconds=1)) == (20, 0, 0, 20, 0, 0)
    assert _known(desk, ann, between) == (25, 0, 1, 24, 1, 0)
    assert _known(desk, ann, _now(desk)) == (20, 0, 0, 20, 2, 0)


def test_what_was_numbered_behind_a_later_entry_is_not_known_before_it(desk: Desk) -> None:
    """Whoever wrote it asked for the time, and then waited for the member: it came to be known later."""
    ann = desk.enroll("ANN")
    before = _now(desk)
    early, late = before + timedelta(seconds=1), before + timedelta(seconds=3)
    for hold_id, recorded in (("hld_1", late), ("hld_2", early)):
        request = hold_request(hold_id, ann, expires_at=late + timedelta(days=9))
        with desk.database.transaction(EVERY_PAYER) as tx:
            place_hold(tx, desk.rules, recorded, request)
            tx.commit()
    held = [_known(desk, ann, moment)[2] for moment in (before, early, late)]
    assert held == [0, 0, 2]


def test_merged_member_is_known_alone_before_the_merge(desk: Desk) -> None:
    """Each of two records has its own counts until the merge, and the union from then on."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record_many(old, 4)
    desk.record_many(new, 3)
    desk.drain()
    before = _now(desk)
    assert desk.merge("SAMPLE-OLD", "SAMPLE-NEW").exit_code == 0
    after = _now(desk)
    assert [_known(desk, ref, before)[1] for ref in (old, new)] == [4, 3]
    assert [_known(desk, ref, after)[1] for ref in (old, new)] == [7, 7]


def test_nobody_is_known_before_being_heard_of(desk: Desk) -> None:
    """A member who is not there has no limits, at no moment."""
    stranger = MemberRef(payer_id=PAYER, member_id="SAMPLE-STRANGER")
    with desk.database.transaction([PAYER]) as tx:
        assert limits_as_of(tx, desk.rules, stranger, DAY, _now(desk)) == ()
