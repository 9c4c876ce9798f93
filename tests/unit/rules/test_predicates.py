"""Each leaf test of the condition language, asked with the input there, other, and missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from shared.domain.document_reader import Faults
from shared.domain.evaluation import Situation
from shared.domain.predicate import Predicate, Truth, walk
from shared.domain.predicate_parsing import _LEAVES, Names, parse_predicate
from shared.domain.service import Authorization, Clinical, Provider
from tests.unit.rules.builders import ON, line, packaged, plan, situation, subject

LIMIT = "a-limit"


def condition(value: object) -> Predicate:
    """The condition that data states; it must be without fault."""
    faults = Faults()
    names = Names(
        vocabulary=packaged().vocabulary,
        pools={"both": packaged().vocabulary.services["acupuncture"].codes},
        limits=frozenset({LIMIT}),
    )
    predicate = parse_predicate(value, ("when",), faults, names)
    assert faults.found == []
    return predicate


def dx(*diagnoses: str) -> Situation:
    """A session for diagnoses."""
    return situation(None, line("20560", *diagnoses))


def chart(**fields: Any) -> Situation:
    """A session with a chart."""
    return situation(clinical=Clinical(**fields))


def held(start: date | None = None, end: date | None = None) -> Situation:
    """A session with an authorization."""
    return situation(authorization=Authorization(number="A1", start=start, end=end))


def billed(biller: Provider) -> Situation:
    """A session that somebody bills for."""
    asked = situation()
    return replace(asked, service=replace(asked.service, billing_provider=biller))


def lines(*codes: str) -> Situation:
    """A session of several lines; the first is asked about."""
    return situation(None, *(line(code) for code in codes))


YES, NO = Truth.TRUE, Truth.FALSE
KNOWN: list[tuple[object, Situation, Truth]] = [
    ({"always": True}, situation(), YES),
    ({"always": False}, situation(), NO),
    ({"provider_type": ["physician", "physical_therapist"]}, situation(), YES),
    ({"provider_type": "physician"}, situation(), NO),
    ({"state": "WI"}, situation(), YES),
    ({"state": ["CA"]}, situation(), NO),
    ({"network": "in"}, situation(network="in"), YES),
    ({"network": "in"}, situation(network="out"), NO),
    ({"place_of_service": ["11", "12"]}, situation(place_of_service="12"), YES),
    ({"place_of_service": "11"}, situation(place_of_service="12"), NO),
    ({"purpose": "habilitative"}, chart(purpose="habilitative"), YES),
    ({"purpose": "maintenance"}, chart(purpose="active"), NO),
    ({"improving": True}, chart(improving=True), YES),
    ({"improving": False}, chart(improving=True), NO),
    ({"payer": "security-health-plan"}, situation(), YES),
    ({"plan": ["plan-2"]}, situation(), NO),
    ({"market": "group"}, situation(), YES),
    ({"funding": "self_funded"}, situation(), NO),
    ({"region": "north"}, situation(plan(region="north")), YES),
    ({"region": "north"}, situation(), NO),
    ({"credentials": ["M.Ac."]}, situation(credentials=("m ac",)), YES),
    ({"credentials": {"all": ["a", "b"]}}, situation(credentials=("a",)), NO),
    ({"billing_credentials": ["M.Ac."]}, billed(Provider(credentials=("m ac",))), YES),
    ({"billing_credentials": {"none": ["M.Ac."]}}, billed(Provider(credentials=("M.Ac.",))), NO),
    ({"modifiers": ["KX"]}, situation(None, line(modifiers=("GP", "KX"))), YES),
    ({"modifiers": ["KX"]}, situation(), NO),
    ({"modifiers": {"none": ["59"]}}, situation(), YES),
    ({"attributes": ["rider"]}, situation(attributes=("rider",)), YES),
    ({"attributes": ["rider"]}, situation(), NO),
    ({"related_to": {"none": ["surgery"]}}, situation(), YES),
    ({"related_to": ["surgery"]}, chart(related_to=("surgery",)), YES),
    (
        {"documented": {"all": ["plan of care", "consent"]}},
        chart(documented=("Plan of Care", "consent")),
        YES,
    ),
    ({"documented": ["consent"]}, chart(documented=("plan of care",)), NO),
    ({"documented_service": "IMS"}, chart(documented=("Dry needling",)), YES),
    ({"diagnosis": ["M54.5"]}, dx("M54.50"), YES),
    ({"diagnosis": ["M54.5"]}, dx("M54.2", "M5459"), YES),
    ({"diagnosis": ["M54.5"]}, dx("M54.2"), NO),
    ({"diagnosis": ["M50-M54"]}, dx("M54.9"), YES),
    ({"diagnosis": ["M50-M54"]}, dx("M55"), NO),
    ({"diagnosis": {"primary": ["F"]}}, dx("M54.2", "F32.1"), NO),
    ({"diagnosis": {"primary": ["F"]}}, dx("F32.1", "M54.2"), YES),
    ({"diagnosis": {"all": ["M"]}}, dx("M54.2", "F32.1"), NO),
    ({"diagnosis": {"none": ["C00-D49"]}}, dx("M54.2"), YES),
    ({"code": ["20560"]}, situation(), YES),
    ({"code": ["97010-97799"]}, situation(), NO),
    ({"other_codes_on_visit": ["97140"]}, lines("20560", "97140"), YES),
    ({"other_codes_on_visit": ["20560"]}, lines("20560"), NO),
    ({"other_codes_on_visit": {"none": ["97010-97799"]}}, lines("20560", "97110"), NO),
    ({"other_codes_on_day": ["pool:both"]}, replace(situation(), same_day_codes=("97810",)), YES),
    ({"other_codes_on_visit": ["97810"]}, replace(situation(), same_day_codes=("97810",)), NO),
    ({"muscles": {"at_most": 2}}, situation(None, line(muscles=2)), YES),
    ({"muscles": {"at_least": 3}}, situation(None, line(muscles=2)), NO),
    ({"quantity": {"at_most": 1}}, situation(None, line(quantity=2)), NO),
    ({"line_count": {"at_most": 4}}, lines("20560", "97140"), YES),
    ({"onset_weeks": {"at_least": 12}}, chart(onset_on=date(2025, 12, 10)), YES),
    ({"onset_weeks": {"at_least": 12}}, chart(onset_on=date(2025, 12, 11)), NO),
    ({"onset_days": {"at_most": 30}}, chart(onset_on=date(2026, 2, 2)), YES),
    ({"onset_days": {"at_least": 0}}, chart(onset_on=date(2026, 3, 5)), NO),
    ({"visit_number": {"limit": LIMIT, "at_least": 2}}, situation(), NO),
    ({"visit_number": {"limit": LIMIT, "at_least": 2}}, situation(visit_numbers=((LIMIT, 2),)), YES),
    ({"visit_number": {"limit": LIMIT, "every": 10}}, situation(visit_numbers=((LIMIT, 20),)), YES),
    ({"visit_number": {"limit": LIMIT, "every": 10}}, situation(visit_numbers=((LIMIT, 21),)), NO),
    ({"days_since_first_visit": {"limit": LIMIT, "at_most": 0}}, situation(), YES),
    (
        {"days_since_first_visit": {"limit": LIMIT, "at_most": 84}},
        situation(first_visit_dates=((LIMIT, date(2025, 12, 9)),)),
        NO,
    ),
    (
        {"weeks_since_first_visit": {"limit": LIMIT, "at_most": 12}},
        situation(first_visit_dates=((LIMIT, date(2025, 12, 10)),)),
        YES,
    ),
    (
        {"weeks_since_first_visit": {"limit": LIMIT, "at_most": 12}},
        situation(first_visit_dates=((LIMIT, date(2025, 12, 9)),)),
        NO,
    ),
    ({"service_date": {"from": ON}}, situation(), YES),
    ({"service_date": {"until": ON}}, situation(), NO),
    ({"authorization": "present"}, held(), YES),
    ({"authorization": "absent"}, held(), NO),
    ({"authorization": "absent"}, situation(), YES),
    ({"authorization": "valid"}, situation(), NO),
    ({"authorization": "valid"}, held(ON, date(2026, 3, 5)), YES),
    ({"authorization": "valid"}, held(None, ON), NO),
    ({"authorization": "valid"}, held(date(2026, 3, 5)), NO),
    ({"injury": True}, situation(injury_id="I1"), YES),
    ({"provider_npi": "1234567893", "state": "WI"}, situation(state="CA"), NO),
    ([{"state": "WI"}, {"network": "in"}], situation(network="in"), YES),
    ({"not": {"state": "WI"}}, situation(), NO),
    ({"any": [{"network": "in"}, {"state": "WI"}]}, situation(), YES),
    ({"stated": {"improving": False}}, situation(), NO),
]
MISSING: list[tuple[object, Situation, tuple[str, ...]]] = [
    ({"provider_type": "physician"}, situation(provider=None), ("provider.type",)),
    ({"billing_provider_type": "physician"}, situation(), ("billing_provider.type",)),
    ({"provider_npi": "1234567893"}, situation(), ("provider.npi",)),
    ({"billing_provider_npi": "1234567893"}, situation(), ("billing_provider.npi",)),
    ({"state": "WI"}, situation(state=None), ("state",)),
    ({"network": "in"}, situation(), ("network",)),
    ({"place_of_service": "11"}, situation(), ("place_of_service",)),
    ({"purpose": "active"}, situation(), ("clinical.purpose",)),
    ({"improving": True}, situation(), ("clinical.improving",)),
    ({"credentials": ["x"]}, situation(), ("provider.credentials",)),
    ({"billing_credentials": ["x"]}, situation(), ("billing_provider.credentials",)),
    ({"documented": ["x"]}, situation(), ("clinical.documented",)),
    ({"diagnosis": ["M54"]}, situation(), ("lines[].diagnosis_codes",)),
    ({"muscles": {"at_least": 1}}, situation(), ("lines[].muscles",)),
    ({"onset_weeks": {"at_least": 12}}, situation(), ("clinical.onset_on",)),
    ({"injury": True}, situation(), ("injury_id",)),
    ({"network": "in", "purpose": "active"}, situation(), ("network", "clinical.purpose")),
]


@pytest.mark.parametrize(("value", "asked", "expected"), KNOWN)
def test_known_input_gives_a_known_verdict(value: object, asked: Situation, expected: Truth) -> None:
    """A test whose input is there is true or false and lacks nothing."""
    verdict = condition(value).evaluate(subject(asked))
    assert (verdict.truth, verdict.missing) == (expected, ())


@pytest.mark.parametrize(("value", "asked", "paths"), MISSING)
def test_missing_input_is_named_by_its_path(value: object, asked: Situation, paths: tuple[str, ...]) -> None:
    """A test whose input the request leaves out is missing and names the request's path."""
    verdict = condition(value).evaluate(subject(asked))
    assert (verdict.truth, verdict.missing) == (Truth.MISSING, paths)


def test_every_leaf_is_tested_here() -> None:
    """Each key of the language is in a case above, so that a new one is not left untested."""

    def keys(value: object) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(keys, value))
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set()

    tested = set().union(*(keys(case[0]) for case in (*KNOWN, *MISSING)))
    assert set(_LEAVES) <= tested


def test_conditions_are_values() -> None:
    """Equal data make equal, hashable conditions, so that documents can be compared."""
    value = {"any": [{"diagnosis": ["M54.5"]}, {"not": {"authorization": "valid"}}]}
    assert condition(value) == condition(value)
    assert len({hash(part) for part in walk(condition(value))}) >= 4
