"""Effects of a change of rules in words, and waiting for them."""

from __future__ import annotations

from datetime import date

from services.operator_cli.rule_effects import (
    MEMBERS_SHOWN_MAX,
    STALL_SECONDS,
    EffectReport,
    wait_for_refolds,
)
from shared.domain.accumulator import AccumulatorKey
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.records import MemberRef
from shared.domain.rule_effects import CountShift, HoldShift, MemberEffect, VisitShift, VisitStanding
from shared.domain.visit import VisitKey

KEY = bytes(range(32))


def effect(number: int, payer_id: str = "p") -> MemberEffect:
    """A member with a visit over the limit, a hold that lost its unit, and a count that went down."""
    period = BenefitPeriod(basis="plan_year", start=date(2026, 1, 1), end=date(2027, 1, 1))
    return MemberEffect(
        ref=MemberRef(payer_id=payer_id, member_id=f"SAMPLE-{number}"),
        visits=(
            VisitShift(
                key=VisitKey(client_id="c", visit_id=f"v{number}"),
                service_date=date(2026, 3, 4),
                before=VisitStanding(disposition="counted", plan_id="e", reasons=("within_limit",)),
                after=VisitStanding(disposition="over_limit", plan_id="e", reasons=("limit_exhausted",)),
            ),
        ),
        holds=(HoldShift(hold_id="hld_1", before="pending", after="pending", units_before=1, units_after=0),),
        counts=(
            CountShift(
                key=AccumulatorKey(plan_id="e", limit_id="dn", period=period),
                used_before=13,
                used_after=12,
                held_before=1,
                held_after=0,
            ),
        ),
    )


def lines(*effects: MemberEffect, show_members: bool = False) -> list[str]:
    """The report of these effects."""
    report = EffectReport()
    for one in effects:
        report.add(one)
    return list(report.lines(KEY, show_members=show_members))


def test_effects_are_added_up_by_payer() -> None:
    """Each payer's members, visits, holds and units, then each member's."""
    said = lines(effect(1), effect(2), effect(3, "q"))
    assert said[:4] == [
        "payer p: members 2, visits 2, holds 2, units used 26 -> 24",
        "  counted -> over_limit: visits 2",
        "payer q: members 1, visits 1, holds 1, units used 13 -> 12",
        "  counted -> over_limit: visits 1",
    ]
    assert "  hold hld_1: pending with 1 units -> pending with 0" in said
    assert "  limit dn, plan e, plan_year from 2026-01-01: used 13 -> 12, held 1 -> 0" in said


def test_members_and_their_visits_are_named_only_when_asked() -> None:
    """By default a member is a keyed hash, and neither visit ids nor service dates are shown."""
    quiet, named = "\n".join(lines(effect(1))), "\n".join(lines(effect(1), show_members=True))
    for word in ("SAMPLE-1", "v1", "2026-03-04"):
        assert word not in quiet
        assert word in named


def test_long_reports_say_how_many_more_there_are() -> None:
    """However many members are touched, the first are shown and all are counted."""
    said = lines(*(effect(number) for number in range(MEMBERS_SHOWN_MAX + 5)))
    assert said[0].startswith(f"payer p: members {MEMBERS_SHOWN_MAX + 5}")
    assert said[-1] == "... and 5 more members"


class Clock:
    """A clock that moves only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def test_waiting_ends_when_nobody_waits() -> None:
    """Progress is told as it is made."""
    counts, steps, clock = iter([5, 5, 3, 4, 0]), list[int](), Clock()
    assert wait_for_refolds(lambda: next(counts), lambda: clock.now, clock.pause, steps.append)
    assert steps == [0, 2, -1, 4]


def test_waiting_ends_when_nothing_moves() -> None:
    """Without a worker the command does not wait for ever."""
    clock = Clock()
    assert not wait_for_refolds(lambda: 7, lambda: clock.now, clock.pause, lambda _: None)
    assert STALL_SECONDS <= clock.now < STALL_SECONDS + 1
