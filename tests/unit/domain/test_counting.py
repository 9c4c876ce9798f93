"""Which visits count, how much each adds, and who gets the last unit (contract section 4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from shared.domain.adjudication import adjudicate
from shared.domain.service import Provider, ServiceLine
from shared.domain.visit import Visit
from tests.builders import history, service, visit
from tests.folding import DAY, ask, counted, dispositions, fold, lines, reasons, used, used_by_period
from tests.rules import SimpleRules, limit_row, plain_rules


def with_lines(number: int, *codes_and_quantities: tuple[str, int], on: date = DAY, **about: Any) -> Visit:
    """A visit with these lines."""
    return visit(number, on, service=service(on, lines=lines(*codes_and_quantities), **about))


def test_the_twentieth_is_counted_and_the_next_is_over_the_limit() -> None:
    """The first `allowed` units in order are counted, the rest are over the limit, 119 and N362."""
    state = fold(*(visit(n) for n in range(1, 22)))
    assert used(state) == {"dry-needling": 20}
    assert dispositions(state)["v20"] == "counted"
    assert dispositions(state)["v21"] == "over_limit"
    (reason,) = next(o.reasons for k, o in state.visits.items() if k.visit_id == "v21")
    assert (reason.code, reason.carc, reason.rarc) == ("limit_exhausted", "119", "N362")


def test_two_visits_for_the_last_unit_count_one() -> None:
    """E01: of two visits for the last unit the one that arrived first has it, however they are given."""
    nineteen = tuple(visit(n) for n in range(1, 20))
    for pair in ((visit(20), visit(21)), (visit(21), visit(20))):
        state = fold(*nineteen, *pair)
        assert used(state) == {"dry-needling": 20}
        assert dispositions(state)["v20"] == "counted"
        assert dispositions(state)["v21"] == "over_limit"


@pytest.mark.parametrize(
    ("what", "disposition", "reason"),
    [
        ({"self_pay": True}, "not_countable", "self_pay"),
        ({"visit_status": "no_show"}, "not_countable", "not_completed"),
        ({"visit_status": "cancelled"}, "not_countable", "not_completed"),
        ({"service": service(DAY, ("97110",))}, "not_countable", "not_dry_needling"),
        ({"service": service(DAY, ("99999",))}, "not_countable", "not_dry_needling"),
        ({"service": service(DAY, state="HI")}, "not_countable", "rule_unknown"),
        (
            {"service": service(DAY, lines=(ServiceLine(procedure_code="20560", diagnosis_codes=("F99",)),))},
            "not_covered",
            "diagnosis_not_covered",
        ),
    ],
)
def test_what_does_not_qualify_is_kept_and_not_counted(
    what: dict[str, Any], disposition: str, reason: str
) -> None:
    """E40, E41: no-shows, cash visits, other services, and what the rules refuse or do not know."""
    state = fold(visit(1, **what), visit(2))
    assert dispositions(state)["v1"] == disposition
    assert reasons(state, "v1")[0] == reason
    assert used(state) == {"dry-needling": 1}


def test_a_member_who_is_not_enrolled_that_day_is_not_counted() -> None:
    """An unknown member's visit is `not_enrolled`; outside the spans it is what a check calls it."""
    unknown = adjudicate(replace(history(visits=(visit(1),)), spans=()), SimpleRules())
    assert dispositions(unknown) == {"v1": "not_countable"}
    assert reasons(unknown, "v1") == ["not_enrolled"]
    early = fold(visit(1, date(2019, 12, 31)))
    assert dispositions(early) == {"v1": "not_covered"}
    assert reasons(early, "v1") == ["before_coverage"]


def test_filing_too_late_is_not_covered() -> None:
    """E11: a visit reported a day after the filing limit is denied (29) and leaves the count alone."""
    rules = plain_rules(filing_days=365)
    late = replace(visit(1, date(2026, 3, 4)), received_on=date(2027, 3, 5))
    in_time = replace(visit(2, date(2026, 3, 4)), received_on=date(2027, 3, 4))
    state = fold(late, in_time, rules=rules)
    assert dispositions(state) == {"v1": "not_covered", "v2": "counted"}
    assert reasons(state, "v1") == ["timely_filing"]


def test_a_visit_counts_in_the_period_of_its_date_not_of_its_arrival() -> None:
    """E10: December 30, told on February 10, counts to December's year."""
    told_late = replace(visit(1, date(2026, 12, 30)), received_on=date(2027, 2, 10))
    assert used_by_period(fold(told_late)) == {"2026-01-01": 1}


def test_no_count_looks_at_today() -> None:
    """E38: a completed visit dated years ahead counts like any other."""
    assert used_by_period(fold(visit(1, date(2031, 5, 1)))) == {"2031-01-01": 1}


# Measures


@pytest.mark.parametrize(
    ("measure", "added"), [("visit", 1), ("service_day", 1), ("service_line", 2), ("unit", 5)]
)
def test_each_measure_counts_its_own_thing(measure: str, added: int) -> None:
    """E18, E19: two codes and five units are one visit, one day, two lines or five units."""
    state = fold(with_lines(1, ("20560", 2), ("20561", 3)), rules=plain_rules(limit_row(measure=measure)))
    assert used(state) == {"dry-needling": added}


def test_two_visits_of_one_day_are_two_visits_and_one_service_day() -> None:
    """E20: two visits on one date, of two providers, add two visits or one day."""
    pair = (
        visit(1, service=service(DAY, provider=Provider(npi="1234567893"))),
        visit(2, service=service(DAY, provider=Provider(npi="1999999992"))),
    )
    assert used(fold(*pair)) == {"dry-needling": 2}
    state = fold(*pair, rules=plain_rules(limit_row(measure="service_day")))
    assert used(state) == {"dry-needling": 1}
    assert dispositions(state) == {"v1": "counted", "v2": "counted"}


def test_the_second_visit_of_a_day_takes_over_the_unit_of_a_voided_first() -> None:
    """The day stays counted once while any of its visits is, and comes free with the last."""
    rules = plain_rules(limit_row(allowed=1, measure="service_day"))
    other_day = visit(3, date(2026, 3, 5))
    one_voided = fold(replace(visit(1), voided_by=9), visit(2), other_day, rules=rules)
    assert dispositions(one_voided) == {"v1": "voided", "v2": "counted", "v3": "over_limit"}
    assert used(one_voided) == {"dry-needling": 1}
    both = fold(replace(visit(1), voided_by=9), replace(visit(2), voided_by=10), other_day, rules=rules)
    assert counted(both) == ["v3"]


def test_a_full_limit_of_days_still_takes_a_second_visit_of_a_counted_day() -> None:
    """A day that is counted needs no further unit."""
    rules = plain_rules(limit_row(allowed=1, measure="service_day"))
    state = fold(visit(1), visit(2, date(2026, 3, 5)), visit(3), rules=rules)
    assert dispositions(state) == {"v1": "counted", "v2": "over_limit", "v3": "counted"}
    assert used(state) == {"dry-needling": 1}
    (reason, *_) = ask(history(visits=[visit(1)]), rules).reasons
    text = "1 of 1 used in this plan year, this date among them"
    assert (reason.code, reason.text) == ("within_limit", text)


def test_part_of_a_visit_counts_where_units_are_measured() -> None:
    """Five units into three: three count, the visit is partially_counted, the next is over."""
    rules = plain_rules(limit_row(allowed=3, measure="unit"))
    state = fold(with_lines(1, ("20560", 5)), with_lines(2, ("20560", 1)), rules=rules)
    assert dispositions(state) == {"v1": "partially_counted", "v2": "over_limit"}
    assert used(state) == {"dry-needling": 3}


def test_part_of_a_visit_counts_where_lines_are_measured() -> None:
    """Two lines into one: one counts."""
    rules = plain_rules(limit_row(allowed=1, measure="service_line"))
    state = fold(with_lines(1, ("20560", 1), ("20561", 1)), rules=rules)
    assert dispositions(state) == {"v1": "partially_counted"}
    assert used(state) == {"dry-needling": 1}


def test_a_unit_refused_by_one_limit_uses_up_none_of_another() -> None:
    """Two needling and four therapy units: one needling unit fits, so the pool takes five, not six or one."""
    rules = plain_rules(
        limit_row(allowed=1, measure="unit"),
        limit_row("rehab", 60, measure="unit", pool=["20560", "20561", "97110"]),
    )
    state = fold(with_lines(1, ("20560", 2), ("97110", 4)), rules=rules)
    assert used(state) == {"dry-needling": 1, "rehab": 5}
    assert dispositions(state) == {"v1": "partially_counted"}


# Order


def test_received_order_denies_a_late_report() -> None:
    """E09: all taken by November, a March visit that arrives last is over the limit."""
    twenty = [visit(n, date(2026, 11, n)) for n in range(1, 21)]
    state = fold(*twenty, visit(21, date(2026, 3, 1)))
    assert dispositions(state)["v21"] == "over_limit"
    assert dispositions(state)["v20"] == "counted"


def test_service_date_order_gives_a_late_report_the_place_of_the_latest_visit() -> None:
    """E09: by service date the late March visit counts and the visit of the latest date makes way."""
    twenty = [visit(n, date(2026, 11, n)) for n in range(1, 21)]
    state = fold(*twenty, visit(21, date(2026, 3, 1)), rules=plain_rules(ordering="service_date"))
    assert dispositions(state)["v21"] == "counted"
    assert dispositions(state)["v20"] == "over_limit"
    assert used(state) == {"dry-needling": 20}
    by_date = plain_rules(ordering="service_date")
    (reason, *_) = ask(history(visits=twenty), by_date, date(2026, 3, 1)).reasons
    text = "20 of 20 used in this plan year, and what was counted on later dates makes way"
    assert (reason.code, reason.text) == ("within_limit", text)


def test_service_date_order_breaks_ties_by_arrival() -> None:
    """Of two visits of one date the one that arrived first has the unit."""
    rules = plain_rules(limit_row(allowed=1), ordering="service_date")
    assert counted(fold(visit(2), visit(1), rules=rules)) == ["v1"]


def test_a_freed_unit_goes_to_the_next_in_order() -> None:
    """E04: a void gives its unit to the first visit that was over the limit."""
    rules = plain_rules(limit_row(allowed=2))
    state = fold(replace(visit(1), voided_by=9), visit(2), visit(3), visit(4), rules=rules)
    assert dispositions(state) == {"v1": "voided", "v2": "counted", "v3": "counted", "v4": "over_limit"}


def test_a_corrected_visit_keeps_its_place() -> None:
    """A correction that arrives last does not send its visit to the end of the order."""
    rules = plain_rules(limit_row(allowed=1))
    first = replace(visit(1), corrected_by=9)
    assert counted(fold(visit(2), first, rules=rules)) == ["v1"]


def test_a_correction_moves_a_visit_across_years() -> None:
    """E05: from December 31 to January 1: the old year loses one, the new one has it."""
    before, after = fold(visit(1, date(2026, 12, 31))), fold(visit(1, date(2027, 1, 1)))
    assert used_by_period(before) == {"2026-01-01": 1}
    assert used_by_period(after) == {"2027-01-01": 1}


# Several limits


def test_a_visit_feeds_every_limit_it_matches() -> None:
    """E22: needling limit and rehabilitation pool move together."""
    rules = plain_rules(limit_row(), limit_row("rehab", 60, pool=["20560", "20561", "97110"]))
    state = fold(visit(1), visit(2, service=service(DAY, ("97110",))), rules=rules)
    assert used(state) == {"dry-needling": 1, "rehab": 2}


def test_a_pool_is_shared_by_its_codes() -> None:
    """E21: eighteen therapy visits leave two of twenty for needling, and the answer names the pool."""
    rules = plain_rules(limit_row("rehab", 20, pool=["20560", "20561", "97110"]))
    therapy = tuple(visit(n, service=service(DAY, ("97110",))) for n in range(1, 19))
    (standing,) = ask(history(visits=therapy), rules).limits
    assert (standing.used, standing.remaining) == (18, 2)
    assert standing.limit.pool == ("20560", "20561", "97110")


def test_separate_limits_stay_apart() -> None:
    """E23: thirty and thirty are two standings, each with its own pool; a combined thirty is one."""
    apart = plain_rules(limit_row("needling", 30), limit_row("therapy", 30, pool=["97110"]))
    state = fold(visit(1), visit(2, service=service(DAY, ("97110",))), rules=apart)
    assert used(state) == {"needling": 1, "therapy": 1}


def test_nested_limits_count_together_and_name_the_binding_one() -> None:
    """E24: an out-of-network visit moves its own and the combined limit; the full one refuses both."""
    rules = plain_rules(
        limit_row("in", 2, network="in"), limit_row("out", 1, network="out"), limit_row("combined", 2)
    )

    def at(number: int, network: str) -> Visit:
        return visit(number, service=service(DAY, network=network))

    state = fold(at(1, "out"), at(2, "out"), at(3, "in"), at(4, "in"), rules=rules)
    assert used(state) == {"in": 1, "out": 1, "combined": 2}
    bound = {key.visit_id: o.binding.limit_id for key, o in state.visits.items() if o.binding}
    assert bound == {"v2": "out", "v4": "combined"}


def test_a_freed_unit_may_push_a_later_visit_over_another_limit() -> None:
    """The first out-of-network visit is voided: the next takes its place and with it the combined unit."""
    rules = plain_rules(limit_row("out", 1, network="out"), limit_row("combined", 2))

    def at(number: int, network: str) -> Visit:
        return visit(number, service=service(DAY, network=network))

    visits = (at(1, "in"), at(2, "out"), at(3, "out"), at(4, "in"))
    assert counted(fold(*visits, rules=rules)) == ["v1", "v2"]
    state = fold(visits[0], replace(visits[1], voided_by=9), *visits[2:], rules=rules)
    assert counted(state) == ["v1", "v3"]
    assert dispositions(state)["v4"] == "over_limit"


def test_an_exempt_diagnosis_leaves_the_limit_alone() -> None:
    """E45: a primary mental health diagnosis on an exempting plan is not held against the limit."""
    exempt = service(DAY, lines=(ServiceLine(procedure_code="20560", diagnosis_codes=("F32", "M54")),))
    rules = plain_rules(limit_row(exempt_diagnoses=["F32"]))
    assert used(fold(visit(1, service=exempt), visit(2), rules=rules)) == {"dry-needling": 1}


def test_a_limit_whose_period_is_not_known_counts_nothing() -> None:
    """Without the authorization that names the period nobody can say whether the visit fits."""
    state = fold(visit(1), rules=plain_rules(limit_row(basis="authorization")))
    assert reasons(state, "v1") == ["period_unknown"]
    assert dispositions(state) == {"v1": "not_countable"}
    assert not used(state)


# Visit numbers


def test_a_rule_may_ask_for_the_visits_number() -> None:
    """The visit that would be the third needs the modifier; one that lacks it takes no number."""
    rules = plain_rules(limit_row(kx_from=3))
    with_kx = service(DAY, lines=(ServiceLine(procedure_code="20560", modifiers=("KX",)),))
    state = fold(visit(1), visit(2), visit(3), visit(4, service=with_kx), visit(5), rules=rules)
    assert counted(state) == ["v1", "v2", "v4"]
    assert dispositions(state)["v3"] == "not_covered"
    assert dispositions(state)["v5"] == "not_covered"


def test_a_void_gives_later_visits_their_earlier_number() -> None:
    """With the first voided, the visit that was third is second and needs no modifier."""
    rules = plain_rules(limit_row(kx_from=3))
    assert counted(fold(visit(1), visit(2), visit(3), rules=rules)) == ["v1", "v2"]
    state = fold(replace(visit(1), voided_by=9), visit(2), visit(3), rules=rules)
    assert counted(state) == ["v2", "v3"]


def test_a_check_in_service_date_order_has_the_number_of_its_place() -> None:
    """Asked about a date before two counted visits, a service is the first and needs no modifier."""
    rules = plain_rules(limit_row(kx_from=2), ordering="service_date")
    about = history(visits=(visit(1, date(2026, 5, 1)),))
    assert ask(about, rules, date(2026, 3, 4)).decision == "covered"
    assert ask(about, rules, date(2026, 6, 4)).decision == "not_covered"
