"""Medicare's NCD 30.3.3: who, what, how often, and what a Medicare Advantage plan has to keep to."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from shared.domain.service import Clinical
from tests.unit.rules.builders import (
    CHRONIC,
    LOW_BACK_PAIN,
    MEDICA,
    NECK_PAIN,
    ON,
    PT,
    SHP,
    WINDOW,
    YEAR,
    ask,
    catalog_of,
    claimed,
    codes,
    document,
    line,
    medicare,
    medicare_plan,
    numbered,
    situation,
)

UNKNOWN = "unknown_verify_with_plan"
CONDITIONS = "covered_with_conditions"
IMPROVING = replace(CHRONIC, improving=True)


def test_chronic_low_back_pain_by_a_physician_is_covered_with_conditions() -> None:
    """The first visit feeds both limits and says what it depends on."""
    evaluation = ask(medicare())
    assert evaluation.decision == CONDITIONS
    assert claimed(evaluation) == {YEAR: 1, WINDOW: 1}
    assert "chronic_low_back_pain_only" in evaluation.conditions
    assert "supervision_required" not in evaluation.conditions
    limits = {claim.limit.limit_id: claim.limit for claim in evaluation.claims}
    assert (limits[YEAR].allowed, limits[YEAR].basis) == (20, "first_service_year")
    assert (limits[WINDOW].allowed, limits[WINDOW].basis, limits[WINDOW].rolling_days) == (
        12,
        "rolling_days",
        90,
    )


def test_physical_therapist_never() -> None:
    """A physical therapist is refused whatever else is said or left out."""
    for clinical in (CHRONIC, Clinical()):
        evaluation = ask(medicare(provider=PT, clinical=clinical))
        assert (evaluation.decision, codes(evaluation)[0]) == ("not_covered", "provider_type_not_covered")
        assert evaluation.claims == ()
    assert evaluation.missing_inputs == ()


def test_neck_pain_is_not_covered_and_not_counted() -> None:
    """All other indications: not covered, nothing claimed."""
    evaluation = ask(medicare(NECK_PAIN))
    assert (evaluation.decision, codes(evaluation)[0]) == ("not_covered", "diagnosis_not_covered")
    assert evaluation.claims == ()


def test_every_failing_criterion_is_said() -> None:
    """A physical therapist needling a neck hears of both."""
    evaluation = ask(medicare(NECK_PAIN, provider=PT))
    assert set(codes(evaluation)) >= {"provider_type_not_covered", "diagnosis_not_covered"}


@pytest.mark.parametrize(
    ("clinical", "decision"),
    [
        (Clinical(onset_on=date(2025, 12, 10)), CONDITIONS),
        (Clinical(onset_on=date(2025, 12, 11)), "not_covered"),
        (replace(CHRONIC, related_to=("surgery",)), "not_covered"),
        (replace(CHRONIC, related_to=("pregnancy",)), "not_covered"),
        (replace(CHRONIC, related_to=("systemic_disease",)), "not_covered"),
        (Clinical(), UNKNOWN),
    ],
)
def test_low_back_pain_has_to_be_chronic_and_nonspecific(clinical: Clinical, decision: str) -> None:
    """Twelve weeks on the day they end, from nothing else; an onset not said is asked for."""
    evaluation = ask(medicare(clinical=clinical))
    assert evaluation.decision == decision
    assert ("clinical.onset_on" in evaluation.missing_inputs) == (decision == UNKNOWN)


def test_missing_diagnosis_and_onset_are_named() -> None:
    """What the rule needs and the request lacks is named by path."""
    evaluation = ask(situation(medicare_plan(), provider="physician"))
    assert evaluation.decision == UNKNOWN
    assert evaluation.missing_inputs == ("lines[].diagnosis_codes", "clinical.onset_on")
    assert codes(evaluation)[0] == "input_missing"


@pytest.mark.parametrize(
    "provider",
    ["physician_assistant", "nurse_practitioner", "clinical_nurse_specialist", "auxiliary_personnel"],
)
def test_assisting_practitioners_need_degree_and_licence(provider: str) -> None:
    """Both are needed; who has said no credential at all is asked for them."""
    both = ("Acupuncture masters degree", "Acupuncture licence")
    qualified = ask(medicare(provider=provider, credentials=both))
    assert qualified.decision == CONDITIONS
    assert "supervision_required" in qualified.conditions
    assert ask(medicare(provider=provider, credentials=both[:1])).decision == "not_covered"
    unsaid = ask(medicare(provider=provider))
    assert (unsaid.decision, unsaid.missing_inputs[0]) == (UNKNOWN, "provider.credentials")


@pytest.mark.parametrize(
    ("number", "modifiers", "clinical", "decision", "reason"),
    [
        (12, (), CHRONIC, CONDITIONS, None),
        (13, (), CHRONIC, "not_covered", "modifier_required"),
        (13, (), IMPROVING, "not_covered", "modifier_required"),
        (13, ("KX",), CHRONIC, UNKNOWN, "input_missing"),
        (13, ("KX",), replace(CHRONIC, improving=False), "not_covered", "not_improving"),
        (13, ("KX",), IMPROVING, CONDITIONS, None),
        (20, ("KX",), IMPROVING, CONDITIONS, None),
        (1, (), replace(CHRONIC, improving=False), CONDITIONS, None),
        (2, (), replace(CHRONIC, improving=False), "not_covered", "not_improving"),
    ],
)
def test_extension_from_the_thirteenth_visit(
    number: int, modifiers: tuple[str, ...], clinical: Clinical, decision: str, reason: str | None
) -> None:
    """Visits 13 to 20 need KX and improvement; before, only a stated lack of it stops the treatment."""
    asked = numbered(medicare(modifiers=modifiers, clinical=clinical), medicare_needling_year=number)
    evaluation = ask(asked)
    assert evaluation.decision == decision
    if reason is not None:
        assert codes(evaluation)[0] == reason


def test_extension_visits_do_not_feed_the_window() -> None:
    """Visits 13 to 20 are the extension of the twelve in ninety days and draw on the year alone."""
    twelfth = numbered(medicare(), medicare_needling_year=12)
    assert claimed(ask(twelfth)) == {YEAR: 1, WINDOW: 1}
    thirteenth = numbered(medicare(modifiers=("KX",), clinical=IMPROVING), medicare_needling_year=13)
    assert claimed(ask(thirteenth)) == {YEAR: 1}


def test_beyond_the_year_the_limit_is_the_reason() -> None:
    """The 21st visit needs no KX to be refused: it claims a unit that the year does not have."""
    evaluation = ask(numbered(medicare(), medicare_needling_year=21))
    assert (evaluation.decision, claimed(evaluation)) == (CONDITIONS, {YEAR: 1})


def test_number_of_the_visit_is_asked_for() -> None:
    """The evaluation tells the caller that it turns on the visit's number, and in which limit."""
    evaluation = ask(medicare())
    assert (evaluation.uses_visit_number, evaluation.numbered_by) == (True, (YEAR,))
    assert not ask(situation()).uses_visit_number


def test_needling_and_acupuncture_of_one_visit_are_one() -> None:
    """Both kinds of line share both limits, and a visit is one however many lines it has."""
    asked = situation(
        medicare_plan(),
        line("20560", LOW_BACK_PAIN),
        line("97810", LOW_BACK_PAIN),
        line("97811", LOW_BACK_PAIN),
        provider="physician",
        clinical=CHRONIC,
    )
    evaluation = ask(asked)
    assert claimed(evaluation) == {YEAR: 1, WINDOW: 1}
    assert evaluation.claims[0].lines == (0, 1, 2)


def test_acupuncture_governs_a_visit_without_needling() -> None:
    """A line of another service beside pooled acupuncture does not make the visit unknown."""
    asked = situation(
        medicare_plan(),
        line("97810", LOW_BACK_PAIN),
        line("99213", LOW_BACK_PAIN),
        provider="physician",
        clinical=CHRONIC,
    )
    evaluation = ask(asked)
    assert evaluation.decision == CONDITIONS
    assert [one.governs for one in evaluation.lines] == [True, False]
    assert evaluation.lines[1].decision == UNKNOWN


@pytest.mark.parametrize(
    ("service_date", "last_day"),
    [(date(2026, 3, 4), date(2027, 3, 4)), (date(2028, 2, 29), date(2029, 2, 28))],
)
def test_timely_filing_is_one_calendar_year(service_date: date, last_day: date) -> None:
    """The last day is in time; the next is not, and claims nothing."""
    asked = medicare(on=service_date)
    assert ask(replace(asked, received_on=last_day)).decision == CONDITIONS
    late = ask(replace(asked, received_on=date.fromordinal(last_day.toordinal() + 1)))
    assert (late.decision, codes(late)[0], late.reasons[0].carc) == ("not_covered", "timely_filing", "29")
    assert late.claims == ()


def test_advantage_plan_has_to_cover_what_medicare_covers() -> None:
    """The program's yes binds in Medicare Advantage, above the payer's own policy."""
    evaluation = ask(medicare(of=medicare_plan(MEDICA, "medicare_advantage")))
    assert evaluation.decision == CONDITIONS
    assert [item.source.document_id for item in evaluation.overruled] == ["medica-central-mp9672"]


def test_programs_no_does_not_bind_an_advantage_plan() -> None:
    """Where the program does not cover, the plan's own rules decide, or nobody knows."""
    medica = ask(medicare(NECK_PAIN, of=medicare_plan(MEDICA, "medicare_advantage")))
    assert (medica.decision, codes(medica)[0]) == ("not_covered", "investigational")
    for asked in (
        medicare(NECK_PAIN, of=medicare_plan(SHP, "medicare_advantage")),
        medicare(provider=PT, of=medicare_plan(SHP, "medicare_advantage")),
    ):
        evaluation = ask(asked)
        assert (evaluation.decision, codes(evaluation)[0]) == (UNKNOWN, "plan_not_matched")


def test_advantage_plan_may_add_visits_beyond_the_program() -> None:
    """Beyond the program's twenty visits the plan's own benefit takes over, with its own limit."""
    more = document(
        """
        document_id: advantage-booklet
        authority: plan_document
        applies_to: [{payers: [medica-central], plans: [plan-1]}]
        rules: [{id: more, codes: ["service:dry_needling"], decision: covered}]
        limits: [{limit_id: ten-more, codes: ["service:dry_needling"], allowed: 10}]
        """
    )
    catalog = catalog_of(more)
    asked = medicare(of=medicare_plan(MEDICA, "medicare_advantage"), modifiers=("KX",), clinical=IMPROVING)
    twentieth = ask(numbered(asked, medicare_needling_year=20), catalog)
    assert claimed(twentieth) == {YEAR: 1}
    after = ask(numbered(asked, medicare_needling_year=21), catalog)
    assert (after.decision, claimed(after)) == ("covered", {"ten-more": 1})
    assert YEAR in twentieth.numbered_by


def test_limits_below_a_floor_do_not_narrow_it() -> None:
    """A limit of the payer's own takes nothing from what the program requires."""
    narrow = document(
        """
        document_id: narrow-cap
        applies_to: [{payers: [medica-central]}]
        rules:
        limits: [{limit_id: narrow, codes: ["service:dry_needling"], allowed: 1}]
        """
    )
    evaluation = ask(medicare(of=medicare_plan(MEDICA, "medicare_advantage")), catalog_of(narrow))
    assert claimed(evaluation) == {YEAR: 1, WINDOW: 1}


def test_codes_of_diagnoses_are_read_with_or_without_their_dot() -> None:
    """M54.5 of before 2021-10 and its later subdivisions are all low back pain."""
    for code in ("M54.5", "M545", "m54.59", "M5451"):
        assert ask(medicare(code)).decision == CONDITIONS


def test_example_dates_are_as_meant() -> None:
    """The sample's service date lies in the rule's time."""
    assert date(2020, 1, 21) < ON
