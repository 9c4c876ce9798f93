"""An operator looks at periods that are over, and has them reported."""

from __future__ import annotations

from tests.desk import Desk


def test_ended_years_are_listed_closed_and_amended(desk: Desk) -> None:
    """A year is due, closed, changed by a late visit, and amended; a year to come is left out."""
    one = desk.enroll("one")
    desk.record_many(one, 2, "2025-03-04")
    desk.record_many(one, 1, "2099-03-04")
    desk.drain()
    assert _summary(desk, "list") == "periods: 1, due: 1"
    assert _summary(desk, "list", "--open") == "periods: 2, due: 1, open: 1"
    assert _summary(desk, "close") == "periods closed: 1, amended: 0"
    assert _summary(desk, "close") == "periods closed: 0, amended: 0"
    desk.record_many(one, 1, "2025-12-31")
    desk.drain()
    assert _summary(desk, "list") == "periods: 1, changed: 1"
    assert _summary(desk, "close", "--payer", one.payer_id) == "periods closed: 0, amended: 1"
    listed = desk.needlecap("periods", "list").output
    [row] = [line for line in listed.splitlines() if "dry-needling" in line]
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells[3:] == ["plan_year", "2026-01-01", "1", "3", "0", "0", "2", "amended"]


def test_nobody_is_named(desk: Desk) -> None:
    """Sums over members say nothing about one of them (I8)."""
    one = desk.enroll("one")
    desk.record_many(one, 2, "2025-03-04")
    desk.drain()
    said = desk.needlecap("periods", "close").output + desk.needlecap("periods", "list").output
    assert one.member_id not in said
    assert "2025-03-04" not in said


def test_unknown_payer_is_said(desk: Desk) -> None:
    """A payer that is not there has no periods, which is not the same as none that ended."""
    refused = desk.needlecap("periods", "list", "--payer", "nobody")
    assert refused.exit_code == 1
    assert "There is no such payer." in refused.output


def _summary(desk: Desk, *arguments: str) -> str:
    done = desk.needlecap("periods", *arguments)
    assert done.exit_code == 0, done.output
    return done.output.strip().splitlines()[-1]
