"""A standing kept beside an answer is the standing it was decided from."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import orjson

from shared.accounting.standing_codec import of_member, standing_from
from shared.domain.accumulator import Accumulator, AccumulatorKey, DayUse
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.determination import MemberStanding
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.history import Posting
from shared.domain.hold import OpeningBalance, Override
from tests.builders import history, plan
from tests.standings import standing_apart

DAY = date(2026, 3, 4)
KEY = AccumulatorKey(
    plan_id="employer",
    limit_id="dry-needling",
    period=BenefitPeriod(basis="authorization", start=date(1, 1, 1), end=date(9999, 12, 31), subject="A-17"),
)
ACCUMULATOR = Accumulator(
    key=KEY,
    used=7,
    held=2,
    granted=1,
    opening=3,
    carried=1,
    visits=6,
    allowed=21,
    days=(DayUse(on=DAY, shared=3, granted=1, visits=4, ahead=2),),
    held_days=((DAY, 2),),
)
STANDING = MemberStanding(
    history=history(
        plans=[plan(), plan("older", contract_start=date(2019, 7, 1), carry_over="all", region="WI-3")],
        spans=[
            EnrollmentSpan(plan_id="older", start=date(2019, 1, 1), end=DAY, attributes=("union", "tier-2")),
            EnrollmentSpan(plan_id="employer", start=DAY),
        ],
        overrides=(
            Override(
                override_id="ovr_1",
                limit_id="dry-needling",
                service_date=DAY,
                quantity=2,
                expires_on=date(2026, 12, 31),
                visit_id="v9",
            ),
        ),
        opening_balances=(
            OpeningBalance(
                plan_id="employer",
                limit_id="dry-needling",
                service_date=DAY,
                quantity=3,
                source="elsewhere",
                sequence=1,
            ),
        ),
    ),
    accumulators=(ACCUMULATOR,),
    versions={KEY: 12},
    pending_events=4,
    hold_postings={"hld_1": (Posting(key=KEY, on=DAY, units=1, allowed=20),)},
    ahead_of_ledger=True,
    day_codes={DAY: ("20560", "97140")},
)


def kept_of(standing: MemberStanding, hold_id: str | None) -> Any:
    """What is kept of a standing beside an answer."""
    return orjson.loads(of_member(standing.history.member_id, standing_apart(standing, DAY, hold_id)))


def test_standing_comes_back_as_it_was() -> None:
    """Every field, whatever it holds."""
    kept = kept_of(STANDING, "hld_1")
    assert standing_from(kept, "hld_1") == STANDING


def test_standing_kept_before_days_were_looked_at_still_reads() -> None:
    """An answer of an older version has nothing of the day beside it."""
    kept = kept_of(STANDING, "hld_1")
    del kept["day_codes"]
    assert standing_from(kept, "hld_1") == replace(STANDING, day_codes={})


def test_hold_that_is_not_pending_is_kept_as_such() -> None:
    """So that the answer, decided again, speaks of it; an older answer, with an empty list, did not."""
    kept = kept_of(STANDING, "hld_2")
    assert kept["freed"] is None
    assert standing_from(kept, "hld_2") == replace(STANDING, hold_postings={})
    assert standing_from({**kept, "freed": []}, "hld_2") == replace(STANDING, hold_postings={"hld_2": ()})


def test_only_the_hold_that_was_named_is_kept() -> None:
    """Units of other holds are in the counts; whose they are is nobody's concern."""
    kept = kept_of(STANDING, None)
    assert standing_from(kept, None) == replace(STANDING, hold_postings={})


def test_only_visits_that_the_date_asked_about_is_near_to_are_kept() -> None:
    """Of others a check looks at nothing, whoever else's date they are near to."""
    near = (DAY - timedelta(days=31), DAY, DAY + timedelta(days=31))
    beyond = (DAY - timedelta(days=32), *near, DAY + timedelta(days=32))
    codes = {**STANDING.day_codes, beyond[0]: ("20561",)}
    kept = kept_of(replace(STANDING, service_dates=beyond, day_codes=codes), "hld_1")
    assert standing_from(kept, "hld_1") == replace(STANDING, service_dates=near)


def test_only_plans_that_say_something_of_the_member_are_kept() -> None:
    """A payer may have a thousand plans; those of the member's spans, balances and counts decide."""
    more = {f"p{number}": plan(f"p{number}") for number in range(100)}
    plans = {**STANDING.history.plans, **more}
    crowded = replace(STANDING, history=replace(STANDING.history, plans=plans))
    assert standing_apart(crowded, DAY, "hld_1") == standing_apart(STANDING, DAY, "hld_1")


def test_members_who_stand_the_same_are_told_apart_by_payer() -> None:
    """Two payers may have plans, spans and counts that are the very same objects."""
    plain = replace(STANDING, history=history(), hold_postings={}, day_codes={}, service_dates=())
    elsewhere = replace(plain, history=replace(plain.history, payer_id="medica-central"))
    assert kept_of(plain, None)["payer_id"] != "medica-central"
    assert kept_of(elsewhere, None)["payer_id"] == "medica-central"
    assert standing_from(kept_of(plain, None), None) == plain


def test_what_a_member_has_besides_is_kept_for_it_alone() -> None:
    """Others who stand the same but for that are written from the very same objects."""
    plain = replace(STANDING, history=history(), hold_postings={})
    granted = replace(plain, history=replace(plain.history, overrides=STANDING.history.overrides))
    ahead = replace(plain, ahead_of_ledger=True)
    for standing in (plain, granted, ahead, plain):
        assert standing_from(kept_of(standing, None), None) == standing
