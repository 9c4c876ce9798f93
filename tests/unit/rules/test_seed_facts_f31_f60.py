"""What the seeds state, facts F31 to F60 (the ids are those of tests/seed_facts.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from shared.domain.rule_document import RuleDocument
from shared.domain.service import Clinical
from tests.unit.rules.builders import (
    MEDICA,
    NECK_PAIN,
    ON,
    PT,
    ask,
    catalog_of,
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


def plan_document(**changes: Any) -> RuleDocument:
    """A document of one Medica Central plan that covers dry needling."""
    return document(
        """
        document_id: medica-plan-booklet
        authority: plan_document
        applies_to: [{payers: [medica-central], plans: [plan-1]}]
        rules:
          - id: covered
            codes: ["service:dry_needling"]
            decision: covered_with_conditions
            conditions: [cost_sharing_applies]
          - {id: therapy, codes: ["97110"], decision: covered}
        """,
        **changes,
    )


def test_f31_medicare_is_partly_covered_whatever_articles_say() -> None:
    """F31: the program covers chronic low back pain by a physician, never by a physical therapist."""
    physician, therapist = ask(medicare()), ask(medicare(provider=PT))
    assert (physician.decision, therapist.decision) == (CONDITIONS, "not_covered")
    for evaluation in (physician, therapist):
        assert {item.source.citation for item in evaluation.overruled} == {
            "001_b793b473e6583126.txt",
            "002_c5f8908205e49ffb.txt",
        }


def test_f32_va_hearsay_is_dated() -> None:
    """F32: VA is unknown, and the hint says as of when it was said."""
    evaluation = ask(situation(plan("va", funding="government", market="va")))
    assert evaluation.decision == UNKNOWN
    assert "as of 2023" in next(r.text for r in evaluation.reasons if r.code == "general_information_only")


def test_f33_self_pay_is_an_estimate() -> None:
    """F33: the price of a session is a range, called an estimate, with its source."""
    estimate = ask(situation()).self_pay_estimate
    assert estimate is not None
    assert (estimate.low, estimate.high, estimate.currency, estimate.estimate) == (50, 100, "USD", True)
    assert estimate.source.citation == "001_b793b473e6583126.txt"


def test_f35_hsa_fsa_is_likely_never_plain_yes() -> None:
    """F35: accounts can often be used; the administrator decides."""
    guidance = ask(situation()).hsa_fsa
    assert guidance is not None
    assert guidance.status == "likely"
    assert "administrator" in guidance.text


def test_f36_lines_are_decided_one_by_one() -> None:
    """F36: a covered therapy line stands beside a denied needling line."""
    therapy_only = document(
        """
        document_id: medica-plan-booklet
        authority: plan_document
        applies_to: [{payers: [medica-central], plans: [plan-1]}]
        rules: [{id: therapy, codes: ["97110"], decision: covered}]
        """
    )
    evaluation = ask(situation(MEDICA_PLAN, line("97110"), line("20560")), catalog_of(therapy_only))
    assert [one.decision for one in evaluation.lines] == ["covered", "not_covered"]
    assert evaluation.decision == "not_covered"


def test_f37_appeal_guidance_is_there() -> None:
    """F37: an answer says how a denial is appealed."""
    appeal = ask(situation(MEDICA_PLAN)).appeal
    assert appeal is not None
    assert len(appeal.steps) == 3


def test_f38_state_rows_are_dated() -> None:
    """F38: Washington's answer of 2023 differs from that of 2025, and an endorsement settles it."""
    before = ask(situation(on=date(2024, 6, 21), state="WA"))
    assert (before.decision, codes(before)) == ("not_covered", ("state_scope_prohibited",))
    assert (before.reasons[0].carc, before.reasons[0].rarc) == ("185", "N95")
    since = ask(situation(on=date(2024, 6, 22), state="WA"))
    assert (since.decision, codes(since)) == (CONDITIONS, ("state_scope_restricted",))
    endorsed = situation(on=date(2025, 3, 4), state="WA", credentials=("dry needling endorsement",))
    assert codes(ask(endorsed)) == ()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("TX", ()),
        ("FL", ()),
        ("NC", ()),
        ("NY", ("state_scope_prohibited",)),
        ("HI", ("state_scope_prohibited",)),
    ],
)
def test_f38_states_of_the_article_follow_the_dated_list(state: str, expected: tuple[str, ...]) -> None:
    """F38: the states the article names answer as the dated list has them."""
    assert codes(ask(situation(state=state))) == expected


def test_f39_billing_guidance_absent_is_unknown() -> None:
    """F39: how a payer wants it billed is not known unless a rule says."""
    assert {item.status for item in ask(situation()).billing_guidance} == {"unknown"}
    says = document(billing_guidance=[{"code": "one-line", "text": "bill one line a session"}])
    stated = ask(situation(plan("invented-payer")), catalog_of(says)).billing_guidance
    assert [(item.status, item.text) for item in stated] == [("stated", "bill one line a session")]


def test_f40_missing_consent_is_listed() -> None:
    """F40: a consent form that is not documented is listed; one that is, is not."""
    assert "informed_consent" in {item.code for item in ask(situation()).documentation}
    signed = situation(clinical=Clinical(documented=("Informed consent",)))
    assert "informed_consent" not in {item.code for item in ask(signed).documentation}


def test_f41_named_conditions_make_no_coverage() -> None:
    """F41: the articles' conditions are words; neck pain is among them and Medicare does not cover it."""
    assert "neck pain" in packaged().guidance.indications
    assert ask(medicare(NECK_PAIN)).decision == "not_covered"
    assert ask(situation(plan("aetna"), line("20560", "G43.909"))).decision == UNKNOWN


def test_f42_home_is_a_place_of_service_that_a_rule_may_restrict() -> None:
    """F42: place of service 12 is accepted, and refused only by a rule that says so."""
    assert ask(situation(place_of_service="12")).decision == CONDITIONS
    clinic_only = document(
        """
        rules:
          - id: clinic
            codes: ["service:dry_needling"]
            decision: covered
            criteria:
              - {id: place, test: {place_of_service: ["11", "22"]}, reason: place_of_service_not_covered}
        """
    )
    asked = situation(plan("invented-payer"), place_of_service="12")
    assert ask(asked, catalog_of(clinic_only)).decision == "not_covered"


def test_f43_medica_central_holds_it_investigational() -> None:
    """F43: not covered, investigational, CARC 55."""
    evaluation = ask(situation(MEDICA_PLAN, on=date(2025, 10, 1)))
    assert (evaluation.decision, codes(evaluation)) == ("not_covered", ("investigational",))
    assert evaluation.reasons[0].carc == "55"
    assert evaluation.prior_authorization == "not_applicable"


@pytest.mark.parametrize(
    ("on", "decision", "reason", "version"),
    [
        (date(2023, 12, 31), UNKNOWN, "rule_not_in_force", 1),
        (date(2024, 1, 1), UNKNOWN, "rule_not_loaded", 1),
        (date(2024, 6, 1), UNKNOWN, "rule_not_loaded", 1),
        (date(2025, 8, 31), UNKNOWN, "rule_not_loaded", 1),
        (date(2025, 9, 1), "not_covered", "investigational", 2),
    ],
)
def test_f44_version_in_force_on_the_service_date(on: date, decision: str, reason: str, version: int) -> None:
    """F44: the version whose text is not held answers for its dates with unknown, naming itself."""
    evaluation = ask(situation(MEDICA_PLAN, on=on))
    first = evaluation.reasons[0]
    assert (evaluation.decision, first.code) == (decision, reason)
    assert first.source is not None
    assert (first.source.document_id, first.source.version) == ("medica-central-mp9672", version)


def test_f45_plan_document_of_one_plan_covers() -> None:
    """F45: a plan's own document covers for that plan and for no other."""
    catalog = catalog_of(plan_document())
    assert ask(situation(MEDICA_PLAN), catalog).decision == CONDITIONS
    assert ask(situation(plan(MEDICA, plan_id="plan-2")), catalog).decision == "not_covered"


def test_f46_plan_document_beats_policy_and_says_so() -> None:
    """F46: the answer names the winner and the policy that lost."""
    evaluation = ask(situation(MEDICA_PLAN), catalog_of(plan_document()))
    assert evaluation.source is not None
    assert evaluation.source.document_id == "medica-plan-booklet"
    loser = evaluation.overruled[0]
    assert (loser.source.document_id, loser.decision) == ("medica-central-mp9672", "not_covered")
    assert "plan_document outranks payer_policy" in loser.reason


def test_f47_law_beats_plan_and_policy() -> None:
    """F47: a mandate flips the result; both losers are named."""
    mandate = document(
        """
        document_id: invented-mandate
        authority: law
        applies_to: [{any_payer: true, funding: [fully_insured], state: [WI]}]
        """
    )
    refusing = plan_document(
        rules=[
            {
                "id": "no",
                "codes": ["service:dry_needling"],
                "decision": "not_covered",
                "reason": "excluded",
            }
        ]
    )
    evaluation = ask(situation(MEDICA_PLAN), catalog_of(mandate, refusing))
    assert evaluation.decision == "covered"
    assert [item.source.authority for item in evaluation.overruled] == ["plan_document", "payer_policy"]


def test_f48_government_program_beats_policy() -> None:
    """F48: for a Medica member under Medicare the program covers, and the policy is overruled."""
    evaluation = ask(medicare(of=medicare_plan(MEDICA)))
    assert evaluation.decision == CONDITIONS
    assert evaluation.overruled[0].source.document_id == "medica-central-mp9672"


def test_f49_authorization_not_applicable() -> None:
    """F49: "not applicable" is its own word."""
    assert ask(situation(MEDICA_PLAN)).prior_authorization == "not_applicable"


def test_f50_retrospective_review_is_said() -> None:
    """F50: the answer says that claims are subject to review and denial afterwards."""
    assert "retrospective_review" in {advisory.code for advisory in ask(situation(MEDICA_PLAN)).advisories}


def test_f51_listed_code_is_no_coverage() -> None:
    """F51: the policy lists the code and does not cover it; the code list holds no decision."""
    assert "20560" in packaged().code_list.entries
    assert ask(situation(MEDICA_PLAN)).decision == "not_covered"


@pytest.mark.parametrize(
    "name", ["IMS", "Intramuscular stimulation", "trigger point dry needling", "electro-dry needling"]
)
def test_f52_synonyms_mean_the_same_service(name: str) -> None:
    """F52: every name leads to the same service and the same rule."""
    assert packaged().service_named(name) == "dry_needling"
    charted = situation(MEDICA_PLAN, line("20999"), clinical=Clinical(documented=(name,)))
    assert codes(ask(charted))[0] == "investigational"


def test_f53_region_is_not_assumed() -> None:
    """F53: a rule of one region speaks of no plan of another, or of none."""
    regional = document(
        applies_to=[{"payers": ["invented-payer"], "region": ["IL", "MO", "OK"]}],
    )
    for region, decision in (("MO", "covered"), ("WI", UNKNOWN), (None, UNKNOWN)):
        asked = situation(plan("invented-payer", region=region))
        assert ask(asked, catalog_of(regional)).decision == decision


def test_f54_device_clearance_is_a_note() -> None:
    """F54: what the FDA regulates is a note of the policy and decides nothing."""
    policy = packaged().document("medica-central-mp9672", 2)
    assert policy is not None
    assert any("FDA" in note for note in policy.notes)
    assert "FDA" not in repr(ask(situation(MEDICA_PLAN)).reasons)


def test_f55_contacts_by_role() -> None:
    """F55: a member and a provider are sent to different places."""
    evaluation = ask(situation(MEDICA_PLAN))
    members, providers = evaluation.contacts_for("member"), evaluation.contacts_for("provider")
    assert [contact.name for contact in members] == ["Medica Customer Service"]
    assert [contact.name for contact in providers] == ["Medica Provider Service Center"]


def test_f56_third_visit_in_a_week_is_advice() -> None:
    """F56: a third visit within seven days is advised against and never denied."""
    recent = (ON - timedelta(days=6), ON - timedelta(days=2))
    third = ask(replace(situation(), recent_service_dates=recent))
    assert "frequency" in {advisory.code for advisory in third.advisories}
    assert third.decision == CONDITIONS
    spread = (ON - timedelta(days=7), ON - timedelta(days=2))
    assert ask(replace(situation(), recent_service_dates=spread)).advisories == ()


@pytest.mark.parametrize("payer", ["aurora-baycare", "advocate-health-care"])
def test_f57_f58_readers_without_a_known_plan(payer: str) -> None:
    """F57, F58: coverage can vary; a member in Illinois of a payer without rules is unknown."""
    assert ask(situation(plan(payer), state="IL")).decision == UNKNOWN


def test_f59_contraindications_have_no_coverage_effect() -> None:
    """F59: screening is charted, and whether it is changes no decision."""
    evaluation = ask(situation())
    item = next(item for item in evaluation.documentation if item.code == "contraindication_screening")
    assert not item.required
    screened = situation(clinical=Clinical(documented=("contraindication screening",)))
    assert ask(screened).decision == evaluation.decision


def test_f60_maintenance_is_refused_only_by_a_rule() -> None:
    """F60: maintenance is not covered where a rule excludes it, and unknown where no rule is held."""
    excludes = document(
        """
        rules:
          - id: maintenance
            codes: ["service:dry_needling"]
            when: {purpose: maintenance}
            decision: not_covered
            reason: purpose_not_covered
          - {id: other, codes: ["service:dry_needling"], decision: covered}
        """
    )
    maintenance = Clinical(purpose="maintenance")
    asked = situation(plan("invented-payer"), clinical=maintenance)
    assert ask(asked, catalog_of(excludes)).decision == "not_covered"
    assert ask(situation(plan("aetna"), clinical=maintenance)).decision == UNKNOWN
    unsaid = ask(situation(plan("invented-payer")), catalog_of(excludes))
    assert (unsaid.decision, unsaid.missing_inputs) == (UNKNOWN, ("clinical.purpose",))
