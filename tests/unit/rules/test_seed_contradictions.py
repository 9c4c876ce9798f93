"""Where the seeds contradict each other or another source (the ids are those of tests/seed_facts.md)."""

from __future__ import annotations

from datetime import date, timedelta

from shared.domain.evaluation import COVERING
from shared.domain.service import Clinical
from tests.unit.rules.builders import (
    CHRONIC,
    MEDICA,
    ON,
    ask,
    catalog_of,
    codes,
    document,
    line,
    medicare,
    packaged,
    plan,
    situation,
)

UNKNOWN = "unknown_verify_with_plan"
CONDITIONS = "covered_with_conditions"
MEDICA_PLAN = plan(MEDICA)


def test_x01_both_payers_are_right_about_themselves() -> None:
    """X1: covered by one payer and investigational to another, each for its own members."""
    assert ask(situation()).decision in COVERING
    assert ask(situation(MEDICA_PLAN)).decision == "not_covered"


def test_x02_opinions_on_evidence_decide_nothing() -> None:
    """X2: that the evidence is strong, or insufficient, is in no reason of the other's members."""
    assert "evidence" not in repr(ask(situation()).reasons)


def test_x03_medicare_partly_covered_since_its_date() -> None:
    """X3: from 2020-01-21 on, not by physical therapists; the day before, not this rule's."""
    assert (
        ask(medicare(on=date(2020, 1, 21), clinical=Clinical(onset_on=date(2019, 1, 1)))).decision
        == CONDITIONS
    )
    before = ask(medicare(on=date(2020, 1, 20)))
    assert (before.decision, before.reasons[0].code) == (UNKNOWN, "rule_not_in_force")


def test_x04_often_covered_payers_are_unknown_with_both_hints() -> None:
    """X4: the article says often; the published policies mostly say no; neither decides."""
    evaluation = ask(situation(plan("cigna")))
    assert evaluation.decision == UNKNOWN
    citations = [
        r.source.citation for r in evaluation.reasons if r.code == "general_information_only" and r.source
    ]
    assert len(citations) == 2


def test_x05_provider_types_are_the_union_and_the_state_decides() -> None:
    """X5: chiropractor, physician and occupational therapist are all known; the state table decides."""
    for provider in ("chiropractor", "physician", "occupational_therapist"):
        assert ask(situation(provider=provider, state="TX")).decision == CONDITIONS
    assert ask(situation(provider="occupational_therapist", state="AK")).decision == "not_covered"


def test_x06_needle_and_technique_have_no_effect() -> None:
    """X6: what kind of needle, and how long it stays, is in no rule and no question."""
    assert "bevel" not in repr(packaged().documents)


def test_x07_plan_year_is_the_plans() -> None:
    """X7: the rule names the plan year and no date; the plan's start is the plan's."""
    first = ask(situation(plan(plan_year_start="07-01"))).claims[0].limit
    assert first == ask(situation()).claims[0].limit


def test_x08_billing_under_other_codes_is_flagged() -> None:
    """X8: whether it is allowed is open, so it is flagged as likely rejected and not decided."""
    evaluation = ask(situation(None, line("97140", muscles=1)))
    assert evaluation.decision == UNKNOWN
    flagged = next(reason for reason in evaluation.reasons if reason.code == "other_code_for_needling")
    assert (flagged.carc, flagged.rarc) == ("16", "N657")


def test_x09_states_answer_from_the_dated_table() -> None:
    """X9: New York and California prohibit, Washington restricts since 2024, whatever the article says."""
    found = {state: codes(ask(situation(state=state)))[0] for state in ("NY", "CA", "WA")}
    assert found == {
        "NY": "state_scope_prohibited",
        "CA": "state_scope_prohibited",
        "WA": "state_scope_restricted",
    }


def test_x10_authorization_has_four_values() -> None:
    """X10: not required, not applicable, unknown, and required where a rule says so."""
    required = document(prior_authorization={"status": "required"})
    found = [
        ask(situation()).prior_authorization,
        ask(situation(MEDICA_PLAN)).prior_authorization,
        ask(situation(plan("cigna"))).prior_authorization,
        ask(situation(plan("invented-payer")), catalog_of(required)).prior_authorization,
    ]
    assert found == ["not_required", "not_applicable", "unknown", "required"]


def test_example_of_the_contract() -> None:
    """The contract's example: covered with conditions, one limit of twenty visits, two assumptions."""
    charted = Clinical(documented=("informed_consent", "contraindication_screening", "medical_necessity"))
    evaluation = ask(situation(clinical=charted))
    claim = evaluation.claims[0]
    assert evaluation.decision == CONDITIONS
    assert (evaluation.reasons, evaluation.overruled, evaluation.missing_inputs) == ((), (), ())
    assert (evaluation.conditions, evaluation.documentation) == (("cost_sharing_applies",), ())
    assert (evaluation.prior_authorization, evaluation.referral) == ("not_required", "unknown")
    assert evaluation.cost_sharing.note == "subject to the plan's cost sharing"
    assert claim.limit.pool == ("20560", "20561")
    assert claim.limit.assumptions == ("measure", "plan_year_start")
    assert (claim.source.document_id, claim.source.citation) == (
        "shp-dry-needling-employer",
        "000_879107c43c50977a.txt",
    )
    assert evaluation.advisories == ()


def test_chronic_sample_is_older_than_twelve_weeks() -> None:
    """The chart most tests use has an onset far enough back, so that they test what they say."""
    assert CHRONIC.onset_on is not None
    assert ON - CHRONIC.onset_on > timedelta(weeks=12)
