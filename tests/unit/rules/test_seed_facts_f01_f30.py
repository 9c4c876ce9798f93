"""What the seeds state, facts F01 to F30 (the ids are those of tests/seed_facts.md)."""

from __future__ import annotations

from datetime import date

import pytest

from shared.domain.enrollment import Plan
from shared.domain.service import Clinical
from tests.unit.rules.builders import (
    LOW_BACK_PAIN,
    MEDICA,
    NECK_PAIN,
    SHP,
    YEAR,
    ask,
    catalog_of,
    claimed,
    codes,
    document,
    line,
    medicare,
    medicare_plan,
    packaged,
    plan,
    situation,
)

UNKNOWN = "unknown_verify_with_plan"
CONDITIONS = "covered_with_conditions"
MEDICA_PLAN = plan(MEDICA)


def test_f01_benefit_begins_on_its_date() -> None:
    """F01: the day before 2021 is not this rule's; the day after is."""
    before = ask(situation(on=date(2020, 12, 31)))
    assert (before.decision, codes(before)) == (UNKNOWN, ("rule_not_in_force",))
    assert before.reasons[0].source is not None
    assert before.reasons[0].source.document_id == "shp-dry-needling-employer"
    assert ask(situation(on=date(2021, 1, 1))).decision == CONDITIONS


@pytest.mark.parametrize(
    ("funding", "market"),
    [
        ("self_funded", "group"),
        ("fully_insured", "individual"),
        ("government", "medicare_advantage"),
        ("government", "medicaid"),
    ],
)
def test_f02_only_fully_insured_employer_plans(funding: str, market: str) -> None:
    """F02: the rule speaks of no other plan of the payer, so the answer is not known."""
    evaluation = ask(situation(plan(funding=funding, market=market)))
    assert evaluation.decision == UNKNOWN
    assert evaluation.reasons[0].code == "plan_not_matched"
    assert evaluation.claims == ()


def test_f03_limit_of_twenty_per_plan_year() -> None:
    """F03: the rule sets the limit that the caller counts; 119 and N362 stand for its end."""
    claim = ask(situation()).claims[0]
    assert (claim.limit.limit_id, claim.limit.allowed, claim.limit.basis) == ("dry-needling", 20, "plan_year")
    word = packaged().vocabulary.reasons["limit_exhausted"]
    assert (word.carc, word.rarc) == ("119", "N362")


def test_f04_measure_is_an_assumption() -> None:
    """F04: the seed leaves "service" open; two lines of one date are one visit, and the choice is shown."""
    evaluation = ask(situation(None, line("20560"), line("20560")))
    assert claimed(evaluation) == {"dry-needling": 1}
    assert "measure" in evaluation.claims[0].limit.assumptions
    by_line = document(
        """
        limits:
          - {limit_id: lines, codes: ["service:dry_needling"], allowed: 20, measure: service_line}
        """
    )
    asked = situation(plan("invented-payer"), line("20560"), line("20560"))
    assert claimed(ask(asked, catalog_of(by_line))) == {"lines": 2}


def test_f05_plan_year_start_is_an_assumption() -> None:
    """F05: the year's start is the plan's, never the rule's, and said to be an assumption."""
    limit = ask(situation()).claims[0].limit
    assert limit.basis == "plan_year"
    assert "plan_year_start" in limit.assumptions


def test_f06_cost_sharing_applies_and_is_not_known() -> None:
    """F06: covered subject to a cost sharing of unknown amount."""
    evaluation = ask(situation())
    assert evaluation.conditions == ("cost_sharing_applies",)
    assert evaluation.cost_sharing.status == "unknown"
    assert evaluation.cost_sharing.copay_cents is None


def test_f07_no_prior_authorization() -> None:
    """F07: not required differs from not applicable and from unknown."""
    assert ask(situation()).prior_authorization == "not_required"
    assert ask(situation(MEDICA_PLAN)).prior_authorization == "not_applicable"
    assert ask(situation(plan("aetna"))).prior_authorization == "unknown"


def test_f09_unknown_answers_carry_a_contact() -> None:
    """F09: an unknown answer says whom to call."""
    phones = {contact.phone for contact in ask(situation(plan(funding="self_funded"))).contacts}
    assert phones == {"1-800-622-7790"}
    assert ask(situation(plan("aetna"))).contacts != ()


def test_f10_what_the_seed_does_not_state_is_not_invented() -> None:
    """F10: no provider, diagnosis or network of the rule's own decides; the codes are said to be assumed."""
    for asked in (
        situation(provider="naturopath"),
        situation(None, line("20560", NECK_PAIN)),
        situation(network="out"),
    ):
        assert ask(asked).decision == CONDITIONS
    rule = packaged().document("shp-dry-needling-employer", 1)
    assert rule is not None
    assert {assumption.about for assumption in rule.assumptions} >= {"codes", "measure"}
    assert ask(situation()).referral == "unknown"


def test_f11_studies_are_no_reasons() -> None:
    """F11: the study of 2018 is a note of the document and in no answer."""
    evaluation = ask(situation())
    assert "opioid" not in repr(evaluation).lower()


def test_f12_acupuncture_is_kept_apart_unless_a_rule_pools_it() -> None:
    """F12: an acupuncture visit draws nothing at Security Health Plan and draws on Medicare's limits."""
    assert not packaged().is_needling("97810")
    shp = ask(situation(None, line("97810")))
    assert shp.claims == ()
    assert codes(shp) == ("code_not_listed",)
    assert claimed(ask(medicare(code="97810"))) == {YEAR: 1, "medicare-needling-90-days": 1}


@pytest.mark.parametrize("payer", ["a-payer-without-rules", "aetna", "va", "medicaid"])
def test_f13_payer_without_rules_is_unknown(payer: str) -> None:
    """F13: coverage varies: without a rule the answer is never yes or no."""
    evaluation = ask(situation(plan(payer)))
    assert evaluation.decision == UNKNOWN
    assert evaluation.reasons[0].code == "rule_not_loaded"


def test_f14_therapy_plan_hint_changes_nothing() -> None:
    """F14: that a physical therapist's plan helps is advice beside an unknown answer."""
    evaluation = ask(situation(plan("aetna")))
    assert evaluation.decision == UNKNOWN
    assert any("therapy plan" in advisory.text for advisory in evaluation.advisories)


def test_f15_code_not_listed_is_unknown_without_advice_to_recode() -> None:
    """F15: what the rules do not list is unknown, and no text says to bill another code."""
    evaluation = ask(situation(None, line("97110")))
    assert (evaluation.decision, codes(evaluation)) == (UNKNOWN, ("code_not_listed",))
    assert "instead" not in repr(evaluation)


def test_f16_missing_state_is_listed() -> None:
    """F16: the state is asked for, and its absence changes no decision."""
    evaluation = ask(situation(state=None))
    assert evaluation.missing_inputs == ("state",)
    assert evaluation.decision == CONDITIONS
    assert codes(evaluation) == ("state_scope_unknown",)


def test_f17_investigational_is_a_reason_of_its_own() -> None:
    """F17: investigational differs from excluded, not necessary and exhausted, down to the CARC."""
    reasons = packaged().vocabulary.reasons
    carcs = [
        reasons[code].carc
        for code in ("investigational", "excluded", "not_medically_necessary", "limit_exhausted")
    ]
    assert carcs == ["55", "204", "50", "119"]


def test_f18_unknown_provider_type_is_unknown_where_a_rule_asks() -> None:
    """F18: without the provider's type a rule that turns on it cannot answer."""
    evaluation = ask(medicare(provider=None))
    assert evaluation.decision == UNKNOWN
    assert "provider.type" in evaluation.missing_inputs


def test_f19_occupational_therapist_where_the_state_forbids() -> None:
    """F19: occupational therapists are known as providers, and the state's scope decides."""
    evaluation = ask(situation(provider="occupational_therapist", state="AK"))
    assert (evaluation.decision, codes(evaluation)) == ("not_covered", ("state_scope_prohibited",))


def test_f20_state_without_a_row_is_unknown_beside_the_decision() -> None:
    """F20: where no row speaks of a profession, that is said and changes nothing."""
    evaluation = ask(situation(provider="podiatrist", state="TX"))
    assert (evaluation.decision, codes(evaluation)) == (CONDITIONS, ("state_scope_unknown",))


def test_f21_provider_not_recognised_only_if_the_plan_says_so() -> None:
    """F21: a massage therapist is refused by a plan that says so, and by no other."""
    says_so = document(
        """
        rules:
          - id: recognised
            codes: ["service:dry_needling"]
            decision: covered
            criteria:
              - id: provider
                test: {not: {provider_type: [massage_therapist, naturopath]}}
                reason: provider_type_not_covered
        """
    )
    asked = situation(plan("invented-payer"), provider="massage_therapist")
    assert ask(asked, catalog_of(says_so)).decision == "not_covered"
    assert ask(asked, catalog_of(document())).decision == "covered"


@pytest.mark.parametrize(
    ("effect", "decision"), [("list", "covered"), ("pend", CONDITIONS), ("deny", UNKNOWN)]
)
def test_f22_missing_note_pends_unless_the_rule_says(effect: str, decision: str) -> None:
    """F22: a note that is not said to be there is listed or pends; a rule that denies waits for it."""
    asks = document(documentation=[{"code": "plan_of_care", "text": "a plan of care", "effect": effect}])
    evaluation = ask(situation(plan("invented-payer")), catalog_of(asks))
    assert evaluation.decision == decision
    assert "plan_of_care" in {item.code for item in evaluation.documentation}
    charted = situation(plan("invented-payer"), clinical=Clinical(documented=("gait analysis",)))
    expected = "not_covered" if effect == "deny" else decision
    assert ask(charted, catalog_of(asks)).decision == expected


def test_f23_muscles_against_code_and_both_codes() -> None:
    """F23: three muscles under 20560 conflict; both codes of one day conflict and are one visit."""
    mismatch = ask(situation(None, line("20560", muscles=3)))
    assert codes(mismatch) == ("coding_conflict",)
    assert (mismatch.reasons[0].carc, mismatch.reasons[0].rarc) == ("16", "N657")
    assert ask(situation(None, line("20560", muscles=2))).reasons == ()
    assert codes(ask(situation(None, line("20561", muscles=2)))) == ("coding_conflict",)
    both = ask(situation(None, line("20560"), line("20561")))
    assert codes(both) == ("coding_conflict",)
    assert claimed(both) == {"dry-needling": 1}


def test_f24_codes_before_they_were_introduced() -> None:
    """F24: 20560 is no valid code on the last day of 2019."""
    evaluation = ask(situation(on=date(2019, 12, 31)))
    assert (evaluation.decision, codes(evaluation)) == ("not_covered", ("code_not_valid_on_date",))
    assert evaluation.reasons[0].carc == "181"
    assert "code_not_valid_on_date" not in codes(ask(situation(on=date(2020, 1, 1))))


@pytest.mark.parametrize("payer", [SHP, MEDICA, "medicare"])
def test_f25_unlisted_code_is_never_taken_for_needling(payer: str) -> None:
    """F25: 20999 is unknown, needs a description, and claims nothing."""
    of = medicare_plan() if payer == "medicare" else plan(payer)
    evaluation = ask(situation(of, line("20999", LOW_BACK_PAIN)))
    assert (evaluation.decision, codes(evaluation)) == (UNKNOWN, ("unlisted_code",))
    assert evaluation.reasons[0].carc == "189"
    assert evaluation.claims == ()


def test_f26_other_codes_for_needling_are_flagged_never_mapped() -> None:
    """F26: 97140 with a needling note is flagged, claims nothing, and is left as it is."""
    for asked in (
        situation(None, line("97140"), clinical=Clinical(documented=("Dry needling",))),
        situation(None, line("97140", muscles=2)),
        situation(None, line("97140")),
        situation(None, line("97110"), clinical=Clinical(documented=("trigger point dry needling",))),
    ):
        evaluation = ask(asked)
        assert evaluation.decision == UNKNOWN
        assert "other_code_for_needling" in codes(evaluation)
        assert evaluation.claims == ()
    beside = ask(situation(None, line("20560"), line("97140")))
    assert codes(beside) == ()
    assert beside.lines[1].reason_codes == ("code_not_listed",)


def test_f27_authorization_and_referral_not_loaded_are_unknown() -> None:
    """F27: what no rule says of authorization and referral is unknown."""
    evaluation = ask(situation(plan("aetna")))
    assert (evaluation.prior_authorization, evaluation.referral) == ("unknown", "unknown")


def test_f28_answer_names_rule_version_and_disclaimer() -> None:
    """F28: an answer names the catalog's and the rule's version and carries the disclaimer."""
    evaluation = ask(situation())
    assert evaluation.catalog_version == 1
    assert evaluation.source is not None
    assert evaluation.source.version == 1
    assert "not a guarantee" in evaluation.disclaimer


@pytest.mark.parametrize("payer", ["aetna", "unitedhealthcare", "bcbs", "cigna"])
def test_f29_often_covered_is_hearsay(payer: str) -> None:
    """F29: a payer an article lists as often covering stays unknown, with the article as a hint."""
    evaluation = ask(situation(plan(payer)))
    assert evaluation.decision == UNKNOWN
    hint = next(reason for reason in evaluation.reasons if reason.code == "general_information_only")
    assert hint.source is not None
    assert (hint.source.authority, hint.source.citation) == ("general_article", "001_b793b473e6583126.txt")


@pytest.mark.parametrize(
    "of",
    [plan("medicaid", funding="government", market="medicaid"), plan("kaiser-permanente")],
)
def test_f30_less_likely_is_hearsay(of: Plan) -> None:
    """F30: Medicaid and Kaiser are unknown, with the article as a hint."""
    evaluation = ask(situation(of, state="OH"))
    assert evaluation.decision == UNKNOWN
    assert "general_information_only" in codes(evaluation)
