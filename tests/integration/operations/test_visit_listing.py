"""Listing visits: what is behind each unit, whoever the visit named."""

from __future__ import annotations

from datetime import UTC, date, datetime

from shared.accounting.holds import place_hold
from shared.accounting.overrides import grant_override
from shared.domain.client import EVERY_PAYER
from shared.domain.hold import Override
from shared.domain.hold_records import NewOverride
from shared.domain.records import MemberRef
from shared.domain.visit_listing import VisitRow
from tests.builders import PAYER, hold_request
from tests.desk import CLIENT, Desk


def _all(desk: Desk, ref: MemberRef, page_size: int = 100) -> list[VisitRow]:
    """Every visit of a member, page by page."""
    found: list[VisitRow] = []
    with desk.database.transaction([PAYER]) as tx:
        while page := tx.visits.page(ref, None, None, found[-1].place if found else None, page_size):
            found += page
    return found


def test_visits_of_both_names_are_listed_for_each(desk: Desk) -> None:
    """After a merge either id shows the union, in order of service dates, page by page."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record(old, "o1", on="2026-02-02")
    desk.record(new, "n1", on="2026-01-01")
    desk.record(old, "o2", on="2026-03-03")
    desk.drain()
    assert [row.place.visit_id for row in _all(desk, new)] == ["n1"]
    assert desk.merge("SAMPLE-OLD", "SAMPLE-NEW").exit_code == 0
    for ref in (old, new):
        assert [row.place.visit_id for row in _all(desk, ref, page_size=1)] == ["n1", "o1", "o2"]
    with desk.database.transaction([PAYER]) as tx:
        page = tx.visits.page(old, date(2026, 2, 2), date(2026, 3, 3), None, 10)
    assert [row.place.visit_id for row in page] == ["o1"]


def test_hold_and_override_behind_a_unit_are_named(desk: Desk) -> None:
    """A unit that was held before, or granted to this visit alone, names where it came from."""
    ann = desk.enroll("ANN")
    now = datetime.now(UTC)
    request = hold_request("hld_1", ann)
    grant = NewOverride(
        override=Override(
            override_id="ovr_1",
            limit_id="dry-needling",
            service_date=date(2026, 3, 4),
            quantity=1,
            visit_id="granted",
        ),
        ref=ann,
        client_id=CLIENT,
        approver="pat",
        reason="appeal",
        created_at=now,
    )
    with desk.database.transaction(EVERY_PAYER) as tx:
        place_hold(tx, desk.rules, now, request)
        grant_override(tx, desk.rules, now, grant)
        tx.commit()
    desk.record(ann, "held", on="2026-06-01", hold_id="hld_1")
    desk.record(ann, "granted", on="2026-03-04")
    desk.record(ann, "plain", on="2026-03-05")
    desk.drain()
    behind = {row.place.visit_id: (list(row.override_ids), row.posted_hold_id) for row in _all(desk, ann)}
    assert behind == {"held": ([], "hld_1"), "granted": (["ovr_1"], None), "plain": ([], None)}
