"""Rules that look beyond the visit: what else was done that day, and when the course began."""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from shared.accounting.rules import CatalogRules
from shared.domain.adjudication import Fold, adjudicate
from shared.domain.determination import MemberStanding, determine
from shared.domain.history import MemberState
from shared.domain.limit import Limit
from shared.domain.same_day import SameDay
from shared.domain.visit import Visit
from tests.builders import PAYER, history, plan, service, visit
from tests.folding import DAY, dispositions, hold, reasons
from tests.unit.rules.builders import document, packaged

_TERMS = """
rules:
  - id: bundled
    codes: ["service:dry_needling"]
    when: {other_codes_on_day: ["97140"]}
    decision: not_covered
    reason: bundled_same_day
  - id: course
    codes: ["service:dry_needling"]
    decision: covered
    criteria:
      - id: eight-weeks
        test: {days_since_first_visit: {limit: course, at_most: 55}}
        reason: frequency_exceeded
limits:
  - {limit_id: course, codes: ["service:dry_needling"], allowed: 20, period: {basis: plan_year}}
"""


@functools.cache
def rules() -> CatalogRules:
    """Needling is not covered beside manual therapy told before it, nor from the ninth week on."""
    policy = document(_TERMS, applies_to=[{"payers": [PAYER]}])
    return CatalogRules(replace(packaged(), documents=()).with_documents([policy], version=2))


def fold(*visits: Visit, **about: Any) -> MemberState:
    """The state of a member with these visits."""
    return adjudicate(history(visits=visits, **about), rules())


def therapy(number: int, on: date = DAY, **content: Any) -> Visit:
    """A visit with manual therapy alone."""
    return visit(number, service=service(on, ("97140",)), **content)


def test_needling_after_manual_therapy_of_the_day_is_bundled() -> None:
    """The rule looks at the other visit of the day, though nothing of it is counted."""
    state = fold(therapy(1), visit(2))
    assert dispositions(state) == {"v1": "not_countable", "v2": "not_covered"}
    assert reasons(state, "v2")[0] == "bundled_same_day"


def test_needling_told_before_the_therapy_stays_counted() -> None:
    """What arrives later changes nothing that was decided, whatever the hour of the day."""
    assert dispositions(fold(visit(1), therapy(2)))["v1"] == "counted"


def test_another_day_is_another_day() -> None:
    """Therapy of the day before is no reason."""
    assert dispositions(fold(therapy(1, DAY - timedelta(days=1)), visit(2)))["v2"] == "counted"


@pytest.mark.parametrize(
    "other",
    [
        replace(therapy(1), voided_by=9),
        replace(therapy(1), arrival=None),
        therapy(1, self_pay=True),
        therapy(1, visit_status="no_show"),
        therapy(1, visit_status="cancelled"),
    ],
    ids=["voided", "not recorded", "self-pay", "no-show", "cancelled"],
)
def test_what_did_not_take_place_or_is_not_the_plans_says_nothing(other: Visit) -> None:
    """Only a completed visit that the plan is asked to pay stands beside another."""
    assert dispositions(fold(other, visit(2)))["v2"] == "counted"


def test_course_ends_eight_weeks_after_its_first_visit() -> None:
    """Day 55 is the last of the eighth week; a visit that is not counted does not begin a course."""
    first = date(2026, 3, 2)
    state = fold(
        therapy(1, first - timedelta(days=7)),
        visit(2, first),
        visit(3, first + timedelta(days=55)),
        visit(4, first + timedelta(days=56)),
    )
    assert [dispositions(state)[name] for name in ("v2", "v3", "v4")] == ["counted", "counted", "not_covered"]
    assert "frequency_exceeded" in reasons(state, "v4")


def test_first_visit_voided_moves_the_course() -> None:
    """The next one is then the first, and what was too late is in time."""
    first = date(2026, 3, 2)
    later = [visit(2, first + timedelta(days=10)), visit(3, first + timedelta(days=60))]
    assert dispositions(fold(visit(1, first), *later))["v3"] == "not_covered"
    voided = replace(visit(1, first), voided_by=9)
    assert dispositions(fold(voided, *later))["v3"] == "counted"


def test_course_begins_anew_with_each_period() -> None:
    """The first visit is that of the limit's own period."""
    state = fold(visit(1, date(2025, 11, 1)), visit(2, date(2026, 1, 2)), visit(3, date(2025, 12, 30)))
    assert dispositions(state) == {"v1": "counted", "v2": "counted", "v3": "not_covered"}


def test_visit_dated_before_the_first_is_itself_the_first() -> None:
    """A visit that is told late begins the course for those after it, and is in time itself."""
    state = fold(visit(1, date(2026, 3, 20)), visit(2, date(2026, 3, 1)), visit(3, date(2026, 5, 1)))
    assert dispositions(state) == {"v1": "counted", "v2": "counted", "v3": "not_covered"}


def test_dates_are_kept_only_where_a_rule_asks_for_them() -> None:
    """An accumulator of the packaged rules has no dates; this one has, and needs no other field."""
    (asked,) = fold(visit(1)).accumulators.values()
    assert [day.on for day in asked.days] == [DAY]
    (plain,) = adjudicate(history(visits=(visit(1),)), CatalogRules(packaged())).accumulators.values()
    assert plain.days == ()


def test_limit_keeps_dates_through_all_its_versions() -> None:
    """A version that counts by days makes every other version of the limit keep them."""
    by_visit = document(_TERMS.replace("55", "400"), applies_to=[{"payers": [PAYER]}], rules=None)
    by_day = document(
        "limits: [{limit_id: course, codes: ['service:dry_needling'], allowed: 5, measure: service_day,"
        " period: {basis: plan_year}}]",
        applies_to=[{"payers": [PAYER]}],
        rules=None,
        version=2,
        effective={"from": date(2026, 4, 1)},
    )
    catalog = replace(packaged(), documents=()).with_documents([by_visit, by_day], version=2)
    (limit,) = (limit for limit, _ in catalog.limits_on(PAYER, plan(), DAY))
    assert (limit.measure, limit.keeps_days) == ("visit", True)
    assert catalog.dated_limits("another-payer") == frozenset()


def test_needling_waits_for_visits_of_other_therapy() -> None:
    """The place that a rule asks for may be that in a limit which the visit does not feed."""
    text = """
rules:
  - {id: therapy, codes: ["97110"], decision: covered}
  - id: needling
    codes: ["service:dry_needling"]
    decision: covered
    criteria:
      - {id: tried, test: {visit_number: {limit: tried, at_least: 3}}, reason: not_medically_necessary}
limits:
  - {limit_id: tried, codes: ["97110"], allowed: unlimited, period: {basis: plan_year}}
  - {limit_id: needling, codes: ["service:dry_needling"], allowed: 1, period: {basis: plan_year}}
"""
    policy = document(text, applies_to=[{"payers": [PAYER]}])
    stepped = CatalogRules(replace(packaged(), documents=()).with_documents([policy], version=2))
    exercise = [visit(n, service=service(date(2026, 3, n), ("97110",))) for n in (2, 4)]
    told = history(visits=(visit(1), exercise[0], visit(3), exercise[1], visit(5), visit(6)))
    state = adjudicate(told, stepped)
    assert list(dispositions(state).values()) == [
        "not_covered",
        "counted",
        "not_covered",
        "counted",
        "counted",
        "over_limit",
    ]
    standing = MemberStanding(
        history=replace(told, visits=()), accumulators=tuple(state.accumulators.values())
    )
    said = determine(stepped, standing, service(DAY))
    assert said.reasons[0].code == "limit_exhausted"


def test_hold_is_promised_for_the_day_as_it_was_then() -> None:
    """A hold after the therapy claims nothing of what is bundled with it; one before it is kept."""
    after = fold(therapy(1), holds=(hold(arrival=2),))
    before = fold(therapy(2), holds=(hold(arrival=1),))
    assert [len(state.holds["h1"].postings) for state in (after, before)] == [0, 1]


def test_visit_that_arrived_before_a_hold_is_not_appended() -> None:
    """It may be of the hold's day, and what the hold is bundled with."""
    fold_so_far = Fold(history(holds=(hold(arrival=5),)), rules())
    assert not fold_so_far.append(therapy(4))
    assert fold_so_far.append(therapy(6))


def test_check_is_told_what_was_done_that_day() -> None:
    """The codes of the day come with the member's standing; what else is known is in the counts."""
    visits = (visit(1, date(2026, 1, 10)), therapy(2))
    told = history(visits=visits)
    state = adjudicate(told, rules())
    standing = MemberStanding(
        history=replace(told, visits=()),
        accumulators=tuple(state.accumulators.values()),
        day_codes={DAY: SameDay(visits).codes_before(DAY)},
    )
    bundled = determine(rules(), standing, service(DAY))
    assert (bundled.decision, bundled.reasons[0].code) == ("not_covered", "bundled_same_day")
    in_time = determine(rules(), standing, service(date(2026, 3, 6)))
    assert in_time.decision == "covered"
    late = determine(rules(), standing, service(date(2026, 3, 7)))
    assert (late.decision, late.reasons[0].code) == ("not_covered", "frequency_exceeded")


def test_limit_needs_dates_by_itself_where_it_counts_by_them() -> None:
    """Rolling windows, days and an order by date need dates without being asked."""
    plain = Limit(limit_id="l", allowed=1, pool=("20560",))
    assert not plain.keeps_days
    assert all(
        replace(plain, **change).keeps_days
        for change in (
            {"basis": "rolling_days", "rolling_days": 7},
            {"measure": "service_day"},
            {"ordering": "service_date"},
            {"dated": True},
        )
    )
