"""The terms of rule documents: limits, authorization, referral, cost sharing, charting, filing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from shared.domain.document_reader import RuleDocumentInvalid
from shared.domain.evaluation import EnrollmentStanding, Evaluation
from shared.domain.service import Authorization, Clinical
from tests.unit.rules.builders import (
    ON,
    ask,
    catalog_of,
    claimed,
    codes,
    document,
    invented,
    line,
    plan,
)

UNKNOWN = "unknown_verify_with_plan"
DN = ["service:dry_needling"]


def under(asked: Any = None, text: str = "", **changes: Any) -> Evaluation:
    """What an invented document says of a session."""
    return ask(asked or invented(), catalog_of(document(text, **changes)))


def limit(limit_id: str = "dn", **changes: Any) -> dict[str, Any]:
    """A limit of twenty visits."""
    return {"limit_id": limit_id, "codes": DN, "allowed": 20, **changes}


@pytest.mark.parametrize(
    ("measure", "quantity"), [("visit", 1), ("service_day", 1), ("service_line", 2), ("unit", 5)]
)
def test_quantity_follows_the_measure(measure: str, quantity: int) -> None:
    """A visit is one, a line each, or its units, as the limit measures."""
    asked = invented(line("20560", quantity=2), line("20561", quantity=3), line("97110", quantity=4))
    evaluation = under(asked, limits=[limit(measure=measure)])
    assert claimed(evaluation) == {"dn": quantity}
    assert evaluation.claims[0].lines == (0, 1)


def test_only_covered_lines_claim() -> None:
    """A line whose diagnosis is refused adds nothing beside one that is covered."""
    rules = [
        {
            "id": "back",
            "codes": DN,
            "decision": "covered",
            "criteria": [{"id": "dx", "test": {"diagnosis": ["M54"]}, "reason": "diagnosis_not_covered"}],
        }
    ]
    asked = invented(line("20560", "M54.2"), line("20560", "G43.1"))
    evaluation = under(asked, rules=rules, limits=[limit(measure="service_line")])
    assert [one.decision for one in evaluation.lines] == ["covered", "not_covered"]
    assert (evaluation.decision, claimed(evaluation)) == ("not_covered", {"dn": 1})
    assert evaluation.matching_limits[0].quantity == 2


def test_nested_limits_by_network() -> None:
    """An out-of-network visit moves its own limit and the combined one; an unsaid network is asked for."""
    limits = [
        limit("in", when={"network": "in"}),
        limit("out", when={"network": "out"}, allowed=10),
        limit("combined"),
    ]
    assert claimed(under(invented(network="in"), limits=limits)) == {"in": 1, "combined": 1}
    assert claimed(under(invented(network="out"), limits=limits)) == {"out": 1, "combined": 1}
    unsaid = under(limits=limits)
    assert (unsaid.decision, unsaid.missing_inputs, unsaid.claims) == (UNKNOWN, ("network",), ())


def test_rule_names_the_limits_its_lines_feed() -> None:
    """A rule that names limits feeds those alone."""
    rules = [
        {"id": "x", "codes": ["20560"], "decision": "covered", "limits": ["first"]},
        {"id": "y", "codes": ["20561"], "decision": "covered", "limits": ["second"]},
    ]
    limits = [limit("first"), limit("second")]
    assert claimed(under(invented(line("20561")), rules=rules, limits=limits)) == {"second": 1}


def test_injury_and_authorization_limits_need_their_subject() -> None:
    """A limit per injury or authorization asks which one; with it, it is claimed."""
    per_injury = [limit(period={"basis": "injury"})]
    unsaid = under(limits=per_injury)
    assert (unsaid.decision, unsaid.missing_inputs) == (UNKNOWN, ("injury_id",))
    assert claimed(under(invented(injury_id="I1"), limits=per_injury)) == {"dn": 1}
    per_authorization = [limit(period={"basis": "authorization"})]
    unsaid = under(limits=per_authorization)
    assert (unsaid.decision, unsaid.missing_inputs) == (UNKNOWN, ("authorization.number",))
    held = invented(authorization=Authorization(number="A1"))
    assert claimed(under(held, limits=per_authorization)) == {"dn": 1}


@pytest.mark.parametrize(
    ("basis", "said"),
    [
        ("contract_year", {"of": plan("invented-payer")}),
        ("authorization", {"authorization": Authorization(number="A1", end=ON)}),
    ],
)
def test_limit_without_a_period_for_the_service_leaves_it_unknown(basis: str, said: dict[str, Any]) -> None:
    """A visit counts nowhere then, so a check must not call it covered, and nothing can be added to it."""
    evaluation = under(invented(**said), limits=[limit(period={"basis": basis})])
    assert (evaluation.decision, codes(evaluation)) == (UNKNOWN, ("period_unknown",))
    assert (evaluation.missing_inputs, evaluation.claims) == ((), ())
    assert evaluation.source is not None


def test_units_allowed_vary_with_the_member() -> None:
    """A rider raises what the same limit allows."""
    limits = [limit(allowed_when=[{"when": {"attributes": ["rider"]}, "allowed": 40}])]
    assert under(limits=limits).claims[0].limit.allowed == 20
    assert under(invented(attributes=("rider",)), limits=limits).claims[0].limit.allowed == 40


def test_uncapped_limit_only_numbers_visits() -> None:
    """A limit without a maximum counts visits for the rules that ask for their number."""
    evaluation = under(limits=[limit(allowed="unlimited")])
    assert not evaluation.claims[0].limit.capped


def test_paid_visits_are_counted_by_allowed_ones_and_said_so() -> None:
    """What counts only when paid is not reported to us: an assumption, shown."""
    assert "counts_when" in under(limits=[limit(counts_when="paid")]).claims[0].limit.assumptions


@pytest.mark.parametrize(
    ("authorization", "effect", "decision", "reason"),
    [
        (None, "not_covered", "not_covered", "authorization_required"),
        (None, "condition", "covered_with_conditions", "authorization_required"),
        (None, "unknown_verify_with_plan", UNKNOWN, "authorization_required"),
        (Authorization(number="A1", end=ON), "not_covered", "not_covered", "authorization_not_valid_on_date"),
        (Authorization(number="A1"), "not_covered", "covered", "covered_by_rule"),
    ],
)
def test_required_authorization(
    authorization: Authorization | None, effect: str, decision: str, reason: str
) -> None:
    """Without a valid authorization what the rule says happens, with 197."""
    evaluation = under(
        invented(authorization=authorization),
        prior_authorization={"status": "required", "if_absent": effect},
    )
    assert (evaluation.decision, codes(evaluation)) == (decision, (reason,))
    assert evaluation.prior_authorization == "required"
    if decision != "covered":
        assert evaluation.reasons[0].carc == "197"


def test_authorization_from_a_visit_on() -> None:
    """Visits up to the sixth need none; the seventh does, and the caller is told to give the number."""
    text = """
        limits: [{limit_id: dn, codes: ["service:dry_needling"], allowed: 20}]
        prior_authorization:
          - {status: required, from_visit: {limit: dn, number: 7}}
          - {status: not_required}
        """
    sixth = under(replace(invented(), visit_numbers=(("dn", 6),)), text)
    assert (sixth.decision, sixth.prior_authorization) == ("covered", "not_required")
    seventh = under(replace(invented(), visit_numbers=(("dn", 7),)), text)
    assert (seventh.decision, seventh.prior_authorization) == ("not_covered", "required")
    assert seventh.numbered_by == ("dn",)


def test_authorization_that_may_be_required_waits_for_the_input() -> None:
    """Required out of network only: unknown until the network is said, unless one is held."""
    required = [{"status": "required", "when": {"network": "out"}}, {"status": "not_required"}]
    unsaid = under(prior_authorization=required)
    assert (unsaid.decision, unsaid.missing_inputs, unsaid.prior_authorization) == (
        UNKNOWN,
        ("network",),
        "unknown",
    )
    held = under(invented(authorization=Authorization(number="A1")), prior_authorization=required)
    assert held.decision == "covered"


def test_referral_is_a_condition_until_documented() -> None:
    """A referral that is not documented is a condition, with its own code."""
    referral = {"status": "required"}
    without = under(referral=referral)
    assert (without.decision, without.referral) == ("covered_with_conditions", "required")
    assert without.conditions == ("referral_required",)
    charted = invented(clinical=Clinical(documented=("Referral",)))
    assert under(charted, referral=referral).decision == "covered"


def test_cost_sharing_by_network() -> None:
    """The first part that holds counts; where the input is missing the amount is unknown."""
    parts = [
        {"status": "stated", "when": {"network": "in"}, "copay_cents": 2500, "deductible_applies": False},
        {"status": "stated", "when": {"network": "out"}, "coinsurance_percent": 40},
    ]
    assert under(invented(network="in"), cost_sharing=parts).cost_sharing.copay_cents == 2500
    assert under(invented(network="out"), cost_sharing=parts).cost_sharing.coinsurance_percent == 40
    assert under(cost_sharing=parts).cost_sharing.status == "unknown"


def test_criterion_may_make_a_condition_instead_of_a_refusal() -> None:
    """What a rule only asks for is a condition with its reason; what is not said is listed too."""
    rules = [
        {
            "id": "x",
            "codes": DN,
            "decision": "covered",
            "criteria": [
                {
                    "id": "place",
                    "test": {"place_of_service": ["11"]},
                    "otherwise": "condition",
                    "condition": "documentation_needed",
                    "reason": "place_of_service_not_covered",
                }
            ],
        }
    ]
    home = under(invented(place_of_service="12"), rules=rules)
    assert (home.decision, home.conditions) == ("covered_with_conditions", ("documentation_needed",))
    assert codes(home) == ("place_of_service_not_covered",)
    assert under(invented(place_of_service="11"), rules=rules).decision == "covered"
    unsaid = under(rules=rules)
    assert (unsaid.decision, unsaid.missing_inputs) == ("covered_with_conditions", ("place_of_service",))


def test_certain_refusal_needs_no_further_input() -> None:
    """One criterion that surely fails settles it, whatever else is not said."""
    rules = [
        {
            "id": "x",
            "codes": DN,
            "decision": "covered",
            "criteria": [
                {"id": "network", "test": {"network": "in"}, "reason": "network_not_covered"},
                {
                    "id": "provider",
                    "test": {"provider_type": "physician"},
                    "reason": "provider_type_not_covered",
                },
            ],
        }
    ]
    evaluation = under(rules=rules)
    assert (evaluation.decision, codes(evaluation)) == ("not_covered", ("provider_type_not_covered",))
    assert evaluation.missing_inputs == ()
    physician = under(invented(provider="physician"), rules=rules)
    assert (physician.decision, physician.missing_inputs) == (UNKNOWN, ("network",))


@pytest.mark.parametrize(
    ("filing", "last_day"),
    [
        ({"days": 90}, date(2026, 6, 2)),
        ({"months": 6}, date(2026, 9, 4)),
        ({"calendar_years": 1}, date(2027, 3, 4)),
    ],
)
def test_timely_filing_units(filing: dict[str, int], last_day: date) -> None:
    """The last day of each kind of span is in time and the next is late."""
    assert under(replace(invented(), received_on=last_day), timely_filing=filing).decision == "covered"
    late = replace(invented(), received_on=date.fromordinal(last_day.toordinal() + 1))
    assert codes(under(late, timely_filing=filing)) == ("timely_filing",)


@pytest.mark.parametrize("filing", [{"days": 999_999}, {"months": 999_999}, {"calendar_years": 9_000}])
def test_filing_beyond_the_calendar_is_in_time(filing: dict[str, int]) -> None:
    """However long a document lets one wait, a visit is answered."""
    asked = replace(invented(), received_on=date(2026, 9, 4))
    assert under(asked, timely_filing=filing).decision == "covered"


def test_check_is_never_late() -> None:
    """Only a reported visit has a day of receipt to compare."""
    assert under(invented(on=date(2020, 1, 1)), timely_filing={"days": 1}).decision == "covered"


def test_timely_filing_by_network() -> None:
    """A longer span out of network; with the network unsaid only what is late in both is refused."""
    filing = [{"days": 90, "when": {"network": "in"}}, {"days": 365}]
    received = replace(invented(), received_on=date(2026, 7, 1))
    assert under(
        replace(invented(network="out"), received_on=date(2026, 7, 1)), timely_filing=filing
    ).decision == ("covered")
    assert under(received, timely_filing=filing).missing_inputs == ("network",)
    assert (
        under(replace(invented(), received_on=date(2027, 7, 1)), timely_filing=filing).decision
        == "not_covered"
    )


@pytest.mark.parametrize(
    ("enrollment", "decision", "reason", "carc"),
    [
        ("unknown_member", UNKNOWN, "not_enrolled", "31"),
        ("before_coverage", "not_covered", "before_coverage", "26"),
        ("after_coverage", "not_covered", "after_coverage", "27"),
    ],
)
def test_member_not_enrolled_that_day(
    enrollment: EnrollmentStanding, decision: str, reason: str, carc: str
) -> None:
    """The member's standing decides before any rule, with its CARC, and claims nothing."""
    evaluation = ask(replace(invented(), plan=None, enrollment=enrollment))
    assert (evaluation.decision, codes(evaluation)) == (decision, (reason,))
    assert (evaluation.reasons[0].carc, evaluation.claims) == (carc, ())
    assert [one.decision for one in evaluation.lines] == [decision]


def test_quantity_of_an_untimed_code_is_advice() -> None:
    """Three units of an untimed code are one visit and a billing flag."""
    evaluation = under(invented(line("20560", quantity=3)), limits=[limit()])
    assert claimed(evaluation) == {"dn": 1}
    assert "quantity_of_untimed_code" in {advisory.code for advisory in evaluation.advisories}


def test_evaluation_is_pure() -> None:
    """The same situation and catalog give the same evaluation."""
    asked, catalog = invented(line("20560"), line("97140")), catalog_of(document(limits=[limit()]))
    assert ask(asked, catalog) == ask(asked, catalog)
    assert hash(asked) == hash(invented(line("20560"), line("97140")))


@pytest.mark.parametrize(
    "changes",
    [{"allowed": 2**31}, {"period": {"basis": "rolling_days", "rolling_days": 40_000}}],
)
def test_number_that_no_count_could_hold_is_refused(changes: dict[str, Any]) -> None:
    """A limit beyond what can be stored, or a window longer than a century, is a fault of the document."""
    with pytest.raises(RuleDocumentInvalid):
        under(limits=[limit(**changes)])
