"""Policies nobody here has read: the format states them, and they answer as they read.

The files under `invented_policies/` take the shapes of published commercial, program and workers'
compensation policies; none is a real one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from shared.adapters.catalog_files import load_rule_document
from shared.domain.catalog import Catalog
from shared.domain.evaluation import Situation
from shared.domain.service import Authorization, Clinical, Provider
from tests.unit.rules.builders import (
    ask,
    catalog_of,
    claimed,
    codes,
    invented,
    line,
    packaged,
    plan,
)
from tests.unit.rules.schema import schema_errors

FOLDER = Path(__file__).with_name("invented_policies")
FILES = sorted(FOLDER.glob("*.yaml"))
UNKNOWN = "unknown_verify_with_plan"
CONDITIONS = "covered_with_conditions"
NORTH = plan("invented-payer", region="north")
TRICARE = plan("some-contractor", funding="government", market="tricare")
COMP = plan("some-carrier", funding="other", market="workers_comp")
HELD = Authorization(number="A1")


@functools.cache
def under(name: str) -> Catalog:
    """The packaged catalog with one invented policy."""
    return catalog_of(load_rule_document(FOLDER / f"{name}.yaml", packaged().vocabulary))


def neck(*, of: str = "M54.2", **changes: object) -> Situation:
    """A session that meets the diagnosis list's criteria, changed."""
    needled = line("20560", of, modifiers=("GP",))
    fields: dict[str, object] = {
        "network": "in",
        "place_of_service": "11",
        "provider": "chiropractor",
        "clinical": Clinical(documented=("failed conservative care",)),
    }
    return invented(needled, **{**fields, **changes})


def hurt(number: int = 1, **changes: object) -> Situation:
    """A session for an injury of four weeks ago, the n-th, the first two weeks ago."""
    fields: dict[str, object] = {
        "of": COMP,
        "injury_id": "I1",
        "clinical": Clinical(onset_on=date(2026, 2, 4)),
        "visit_numbers": (("injury-visits", number),),
        "first_visit_dates": (("injury-visits", date(2026, 2, 18)),),
    }
    return invented(**{**fields, **changes})


def numbered(limit_id: str, number: int, asked: Situation) -> Situation:
    """The session as the n-th of a limit."""
    return replace(asked, visit_numbers=((limit_id, number),))


def since_first(days: int) -> Situation:
    """A session of four muscles, so many days after the first of the course."""
    first = date(2026, 3, 4) - timedelta(days=days)
    return invented(line("20561", muscles=4), first_visit_dates=(("course", first),))


BESIDE_THERAPY = invented(same_day_codes=("97110",))
Case = tuple[str, Situation, str, str | None, Mapping[str, int]]
PLAN_OF_CARE = Clinical(documented=("plan of care", "referral"))
CASES: list[Case] = [
    ("diagnosis-lists", neck(), "covered", "covered_by_rule", {}),
    ("diagnosis-lists", neck(of="M54.51"), "not_covered", "diagnosis_not_covered", {}),
    ("diagnosis-lists", neck(of="M79.7"), "not_covered", "investigational", {}),
    ("diagnosis-lists", neck(of="C50.9"), "not_covered", "investigational", {}),
    ("diagnosis-lists", neck(network="out"), "not_covered", "network_not_covered", {}),
    ("diagnosis-lists", neck(place_of_service="12"), "not_covered", "place_of_service_not_covered", {}),
    ("diagnosis-lists", neck(provider="physical_therapist"), UNKNOWN, "input_missing", {}),
    (
        "diagnosis-lists",
        neck(provider="physical_therapist", credentials=("Certified Dry Needling",)),
        "covered",
        "covered_by_rule",
        {},
    ),
    ("diagnosis-lists", neck(clinical=Clinical(documented=("gait",))), UNKNOWN, "documentation_needed", {}),
    ("diagnosis-lists", neck(on=date(2024, 12, 31)), UNKNOWN, "rule_not_in_force", {}),
    ("diagnosis-lists", neck(of="M54.2"), "covered", "covered_by_rule", {}),
    (
        "diagnosis-lists",
        replace(neck(), plan=plan("invented-payer", plan_id="carved-out")),
        UNKNOWN,
        "plan_not_matched",
        {},
    ),
    (
        "combined-pool",
        invented(line("20560", "M54.2"), clinical=Clinical(purpose="rehabilitative")),
        CONDITIONS,
        None,
        {"rehabilitation": 1, "dry-needling": 1},
    ),
    (
        "combined-pool",
        invented(line("97110", "M54.2"), clinical=Clinical(purpose="rehabilitative")),
        CONDITIONS,
        None,
        {"rehabilitation": 1},
    ),
    (
        "combined-pool",
        invented(line("20560", "M54.2"), clinical=Clinical(purpose="habilitative")),
        CONDITIONS,
        None,
        {"habilitation": 1, "dry-needling": 1},
    ),
    ("combined-pool", invented(line("98941", "F43.1")), CONDITIONS, "covered_by_rule", {}),
    ("combined-pool", invented(line("98941", "M54.2")), UNKNOWN, "input_missing", {}),
    ("per-injury", hurt(), "covered", None, {"injury-visits": 1, "week-early": 1}),
    ("per-injury", hurt(injury_id=None), UNKNOWN, "input_missing", {}),
    ("per-injury", hurt(6), "covered", None, {"injury-visits": 1, "week-early": 1}),
    ("per-injury", hurt(7, authorization=HELD), UNKNOWN, "input_missing", {}),
    ("per-injury", hurt(7), "not_covered", "authorization_required", {}),
    (
        "per-injury",
        hurt(7, authorization=HELD, clinical=Clinical(onset_on=date(2026, 2, 4), improving=True)),
        "covered",
        None,
        {"injury-visits": 1, "week-early": 1},
    ),
    (
        "per-injury",
        hurt(first_visit_dates=(("injury-visits", date(2026, 2, 4)),)),
        "covered",
        None,
        {"injury-visits": 1, "week-late": 1},
    ),
    (
        "per-injury",
        hurt(first_visit_dates=(("injury-visits", date(2025, 12, 9)),)),
        "not_covered",
        "frequency_exceeded",
        {},
    ),
    (
        "per-injury",
        hurt(clinical=Clinical(onset_on=date(2025, 11, 1))),
        "not_covered",
        "not_medically_necessary",
        {},
    ),
    ("per-injury", hurt(state="IA"), UNKNOWN, "rule_not_loaded", {}),
    ("sole-purpose", invented(of=TRICARE), "not_covered", "investigational", {}),
    ("sole-purpose", invented(line("97110"), of=TRICARE), "covered", "covered_by_rule", {}),
    ("rider", invented(of=NORTH), "not_covered", "excluded", {}),
    ("rider", invented(of=NORTH, attributes=("needling_rider",)), "covered", "covered_by_rule", {}),
    ("rider", invented(of=NORTH, attributes=("needling_rider", "under_18")), UNKNOWN, "input_missing", {}),
    ("rider", invented(attributes=("needling_rider",)), UNKNOWN, "plan_not_matched", {}),
    (
        "nested-network",
        invented(network="in", clinical=PLAN_OF_CARE),
        CONDITIONS,
        None,
        {"in-network": 1, "combined": 1},
    ),
    (
        "nested-network",
        invented(network="in"),
        CONDITIONS,
        "documentation_needed",
        {"in-network": 1, "combined": 1},
    ),
    (
        "nested-network",
        invented(network="out", clinical=PLAN_OF_CARE),
        "not_covered",
        "authorization_required",
        {},
    ),
    (
        "nested-network",
        invented(network="out", clinical=PLAN_OF_CARE, authorization=HELD),
        CONDITIONS,
        None,
        {"out-of-network": 1, "combined": 1},
    ),
    (
        "nested-network",
        invented(network="out", authorization=HELD, clinical=Clinical(documented=("plan of care",))),
        "not_covered",
        "referral_required",
        {},
    ),
    (
        "nested-network",
        numbered("combined", 10, invented(network="in", clinical=PLAN_OF_CARE)),
        "not_covered",
        "documentation_needed",
        {},
    ),
    ("same-day", invented(), "not_covered", "not_medically_necessary", {}),
    ("same-day", invented(line("20560"), line("97110")), "covered", "covered_by_rule", {"lines-a-day": 1}),
    (
        "same-day",
        invented(line("20560"), line("97140")),
        "not_covered",
        "included_in_other_service",
        {"lines-a-day": 1},
    ),
    (
        "same-day",
        invented(line("20560", modifiers=("59",)), line("97140"), line("97110")),
        "covered",
        "covered_by_rule",
        {"lines-a-day": 2},
    ),
    ("same-day", invented(line("20560"), same_day_codes=("20553",)), "not_covered", "bundled_same_day", {}),
    ("per-diagnosis", invented(line("20560", "M54.50")), "covered", None, {"low-back": 1}),
    ("per-diagnosis", invented(line("97810", "G43.1")), "covered", None, {"other": 1}),
    ("per-diagnosis", invented(), UNKNOWN, "input_missing", {}),
    ("mandate", invented(line("20560", "M54.2"), of=plan("any-payer")), "covered", None, {"mandated": 1}),
    ("mandate", invented(line("20560", "G43.1"), of=plan("any-payer")), UNKNOWN, "rule_not_loaded", {}),
    (
        "mandate",
        invented(line("20560", "M54.2"), of=plan("medica-central")),
        "covered",
        None,
        {"mandated": 1},
    ),
    (
        "mandate",
        invented(line("20560", "M54.2"), of=plan("medica-central", funding="self_funded")),
        "not_covered",
        "investigational",
        {},
    ),
    ("soft-cap", numbered("reviewed", 20, invented()), "covered", None, {"reviewed": 1}),
    ("soft-cap", numbered("reviewed", 21, invented()), "not_covered", "authorization_required", {}),
    (
        "soft-cap",
        numbered("reviewed", 21, invented(authorization=HELD)),
        "covered",
        None,
        {"reviewed": 1, "per-authorization": 1},
    ),
    (
        "shared-therapy",
        numbered("therapy-visits", 12, invented(line("20560"), line("97140"))),
        "covered",
        None,
        {"therapy-visits": 1},
    ),
    (
        "shared-therapy",
        numbered("therapy-visits", 13, invented()),
        "not_covered",
        "authorization_required",
        {},
    ),
    (
        "shared-therapy",
        numbered("therapy-visits", 13, invented(authorization=HELD)),
        "covered",
        None,
        {"therapy-visits": 1},
    ),
    ("short-course", invented(line("20561", muscles=4)), "covered", None, {"course": 1}),
    ("short-course", invented(line("20561", muscles=5)), "not_covered", "x_muscles_a_session", {}),
    ("short-course", invented(), UNKNOWN, "input_missing", {}),
    ("short-course", since_first(56), "covered", None, {"course": 1}),
    ("short-course", since_first(57), "not_covered", "frequency_exceeded", {}),
    ("step-therapy", numbered("therapy", 6, BESIDE_THERAPY), "not_covered", "not_medically_necessary", {}),
    ("step-therapy", numbered("therapy", 7, BESIDE_THERAPY), "covered", None, {"needling": 1}),
    ("step-therapy", numbered("therapy", 7, invented()), "not_covered", "not_medically_necessary", {}),
    ("lifetime", invented(line("20560", quantity=3)), UNKNOWN, "input_missing", {}),
    ("lifetime", invented(on=date(2026, 7, 1)), UNKNOWN, "rule_does_not_decide", {}),
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_invented_policy_is_accepted(file: Path) -> None:
    """The parser and the schema both accept it, and a case below asks it something."""
    assert schema_errors(yaml.safe_load(file.read_text(encoding="utf-8"))) == []
    assert load_rule_document(file, packaged().vocabulary).document_id == file.stem
    assert file.stem in {case[0] for case in CASES}


@pytest.mark.parametrize(("name", "asked", "decision", "reason", "claims"), CASES)
def test_invented_policy_answers_as_it_reads(
    name: str, asked: Situation, decision: str, reason: str | None, claims: Mapping[str, int]
) -> None:
    """The decision, its first reason and what is claimed are those the policy's words give."""
    evaluation = ask(asked, under(name))
    assert evaluation.decision == decision
    assert claimed(evaluation) == dict(claims)
    assert (codes(evaluation) or (None,))[0] == reason


def test_pool_names_its_members() -> None:
    """A shared limit says in words and codes what shares it."""
    evaluation = ask(CASES[12][1], under("combined-pool"))
    shared = next(claim.limit for claim in evaluation.claims if claim.limit.limit_id == "rehabilitation")
    assert shared.label == "PT, OT, chiropractic and dry needling combined"
    assert shared.pool == ("20560", "20561", "97010-97799", "98940-98942")


def test_rider_raises_the_same_limit() -> None:
    """A member attribute changes how many units one limit allows."""
    asked = replace(CASES[12][1], attributes=("enhanced_rehab",))
    limits = {claim.limit.limit_id: claim.limit for claim in ask(asked, under("combined-pool")).claims}
    assert limits["dry-needling"].allowed == 30
    assert limits["dry-needling"].carry_over == "same_product"


def test_sole_purpose_visit_is_refused_line_by_line() -> None:
    """The same visit code is refused beside needling alone and covered beside other therapy."""
    alone = ask(invented(line("20560"), line("99213"), of=TRICARE), under("sole-purpose"))
    assert [one.reason_codes for one in alone.lines] == [("investigational",), ("x_sole_purpose",)]
    more = ask(invented(line("20560"), line("97110"), line("99213"), of=TRICARE), under("sole-purpose"))
    assert [one.decision for one in more.lines] == ["not_covered", "covered", "covered"]


def test_nested_network_terms() -> None:
    """Access, cost sharing, filing, billing and contacts all follow the network."""
    out = ask(invented(network="out", clinical=PLAN_OF_CARE, authorization=HELD), under("nested-network"))
    assert (out.prior_authorization, out.referral) == ("required", "required")
    assert (out.cost_sharing.coinsurance_percent, out.cost_sharing.deductible_applies) == (50, True)
    assert [item.status for item in out.billing_guidance] == ["stated"]
    assert [contact.phone for contact in out.contacts_for("provider")] == ["555-0100"]
    inside = ask(invented(network="in", clinical=PLAN_OF_CARE), under("nested-network"))
    assert (inside.prior_authorization, inside.referral) == ("not_required", "not_applicable")
    assert inside.condition_texts == (("bring_card", "show the card"),)
    late = replace(invented(network="in", clinical=PLAN_OF_CARE), received_on=date(2026, 6, 3))
    assert codes(ask(late, under("nested-network")))[0] == "timely_filing"


def test_billing_provider_is_asked_for() -> None:
    """A rule on who bills names the billing provider's path, and uses it once said."""
    asked = invented(line("20560", quantity=3))
    assert ask(asked, under("lifetime")).missing_inputs == ("billing_provider.type",)
    billed = replace(asked, service=replace(asked.service, billing_provider=Provider(type="physician")))
    evaluation = ask(billed, under("lifetime"))
    assert (evaluation.decision, claimed(evaluation)) == ("covered", {"units": 3})
