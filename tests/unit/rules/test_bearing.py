"""What is taken out of a service before the rules are asked would have changed no answer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.accounting.codec import service_from
from shared.accounting.rules import CatalogRules
from shared.adapters.catalog_files import load_rule_document
from shared.domain.catalog import Catalog
from shared.domain.evaluation import Situation
from shared.domain.predicate_parsing import _LEAVES
from shared.domain.rule_evaluation import evaluate
from shared.domain.service import Authorization, Clinical, Provider
from tests.unit.rules.builders import (
    LOW_BACK_PAIN,
    NECK_PAIN,
    ON,
    YEAR,
    catalog_of,
    document,
    invented,
    line,
    medicare,
    packaged,
    plan,
)
from tests.unit.rules.drawn_requests import drawn_request, generator

DRAWN = 60
LIMIT = "course"
#: Conditions with each key of the language, which some of the requests that are drawn meet and some do not.
CONDITIONS: list[tuple[str, Any]] = [
    ("provider_type", "physician"),
    ("provider_npi", ["1234567893"]),
    ("billing_provider_type", "physician"),
    ("billing_provider_npi", "9000000101"),
    ("state", ["WI", "TN"]),
    ("network", "in"),
    ("place_of_service", "11"),
    ("purpose", "active"),
    ("payer", "invented-payer"),
    ("plan", "plan-1"),
    ("region", "north"),
    ("market", "group"),
    ("funding", "fully_insured"),
    ("improving", True),
    ("always", True),
    ("injury", True),
    ("credentials", ["acupuncture license"]),
    ("billing_credentials", {"none": ["x"]}),
    ("modifiers", {"all": ["GP", "KX"]}),
    ("attributes", ["rider"]),
    ("related_to", {"none": ["pregnancy"]}),
    ("documented", ["plan of care"]),
    ("diagnosis", {"primary": ["M54.5", "C00-D49"]}),
    ("diagnosis", ["M54.5", "C00-D49"]),
    ("code", ["20561"]),
    ("other_codes_on_visit", ["97110"]),
    ("other_codes_on_day", {"none": ["97110-97139"]}),
    ("muscles", {"at_least": 2, "at_most": 3}),
    ("quantity", {"at_most": 2}),
    ("line_count", {"at_least": 2}),
    ("onset_days", {"at_least": 0, "at_most": 83}),
    ("onset_weeks", {"at_least": 12}),
    ("visit_number", {"limit": LIMIT, "at_least": 3}),
    ("days_since_first_visit", {"limit": LIMIT, "at_most": 6}),
    ("weeks_since_first_visit", {"limit": LIMIT, "at_least": 1}),
    ("service_date", {"from": ON}),
    ("authorization", "valid"),
    ("documented_service", "IMS"),
]
#: Where a request makes no difference.
_OF_THE_PLAN = {"payer", "plan", "region", "market", "funding", "always"}


def drawn_situation(draw: random.Random) -> Situation:
    """A drawn request in a drawn situation of a member of the invented payer."""
    service = service_from(drawn_request(draw))
    near = [service.service_date - timedelta(days=draw.randrange(20)) for _ in range(draw.choice((0, 2, 8)))]
    return Situation(
        payer_id="invented-payer",
        payer_name="Invented",
        plan=plan("invented-payer", region=draw.choice((None, "north"))),
        enrollment="enrolled",
        attributes=draw.choice(((), ("rider",), ("other",))),
        service=service,
        visit_numbers=draw.choice(((), ((LIMIT, 2),), ((LIMIT, 3),))),
        first_visit_dates=draw.choice(((), ((LIMIT, min(near, default=service.service_date)),))),
        recent_service_dates=tuple(near),
        same_day_codes=draw.choice(((), ("97110",), ("97140", "98940"))),
        received_on=draw.choice((None, None, service.service_date + timedelta(days=draw.randrange(400)))),
    )


def policy(condition: dict[str, Any]) -> Catalog:
    """A policy that covers where a condition holds, and asks for it again in other terms."""
    needling = ["service:dry_needling"]
    return catalog_of(
        document(
            rules=[
                {"id": "covered", "codes": needling, "when": condition, "decision": "covered"},
                {"id": "not", "codes": needling, "decision": "not_covered", "reason": "excluded"},
            ],
            limits=[{"limit_id": LIMIT, "codes": needling, "allowed": 12, "period": {"basis": "plan_year"}}],
            prior_authorization=[
                {"status": "required", "when": {"not": condition}},
                {"status": "not_required"},
            ],
            timely_filing=[{"days": 200}],
        )
    )


def test_each_condition_of_the_language_is_here() -> None:
    """So that a new one is not left out of what follows."""
    assert set(_LEAVES) == {name for name, _ in CONDITIONS}


@pytest.mark.parametrize(("name", "condition"), CONDITIONS)
def test_evaluation_reads_nothing_that_was_taken_out(name: str, condition: Any) -> None:
    """Whatever a policy asks, the whole situation and the part that bears on it are evaluated the same."""
    catalog, draw = policy({name: condition}), generator(1)
    rules, decisions = CatalogRules(catalog), set()
    for _ in range(DRAWN):
        asked = drawn_situation(draw)
        expected = evaluate(catalog, asked)
        assert rules.evaluate(asked) == expected
        decisions.add(expected.decision)
    assert name in _OF_THE_PLAN or len(decisions) > 1


def treated(asked: Situation, **changes: Any) -> Situation:
    """The situation of a service with changes."""
    return replace(asked, service=replace(asked.service, **changes))


def of_chart(asked: Situation, **changes: Any) -> Situation:
    """The situation of a service with changes to what its chart says."""
    return treated(asked, clinical=replace(asked.service.clinical, **changes))


ONE = medicare()
ALIKE: dict[str, Situation] = {
    "provider": treated(ONE, provider=Provider(npi="1234567893", type="physician")),
    "biller": treated(ONE, billing_provider=Provider(npi="1234567893", type="physician")),
    "place": treated(ONE, place_of_service="12"),
    "network": treated(ONE, network="in"),
    "purpose": of_chart(ONE, purpose="active"),
    "onset": of_chart(ONE, onset_on=ON - timedelta(days=84)),
    "date": treated(ONE, service_date=ON + timedelta(days=90)),
    "diagnosis": medicare("M54.59"),
    "further diagnosis": treated(ONE, lines=(line("20560", LOW_BACK_PAIN, "M54.59"),)),
    "modifier": medicare(modifiers=("59",)),
    "injury": treated(ONE, injury_id="I1"),
    "name of the payer": replace(ONE, payer_name="Medicare"),
    "attribute": replace(ONE, attributes=("rider",)),
    "few other visits": replace(ONE, recent_service_dates=(ON - timedelta(days=7),)),
}
HELD = treated(ONE, authorization=Authorization(number="A1"))
LATE = treated(ONE, authorization=Authorization(number="A1", end=ON))
UNALIKE: dict[str, Situation] = {
    "provider": treated(ONE, provider=Provider(type="chiropractor")),
    "state": treated(ONE, state="CA"),
    "date": treated(ONE, service_date=date(2019, 12, 31)),
    "code": medicare(code="20561"),
    "quantity": treated(ONE, lines=(replace(ONE.service.lines[0], quantity=2),)),
    "onset": of_chart(ONE, onset_on=ON - timedelta(days=83)),
    "improving": of_chart(ONE, improving=False),
    "diagnosis": medicare(NECK_PAIN),
    "modifier": medicare(modifiers=("KX",)),
    "authorization": HELD,
    "many other visits": replace(ONE, recent_service_dates=(ON,) * 20),
    "number": replace(ONE, visit_numbers=((YEAR, 13),)),
}


def asked_once(*situations: Situation) -> bool:
    """Whether the rules find nothing to tell situations by."""
    rules = CatalogRules(packaged())
    return len({id(rules.evaluate(asked)) for asked in situations}) == 1


@pytest.mark.parametrize("name", ALIKE)
def test_what_no_rule_reads_is_answered_from_memory(name: str) -> None:
    """Medicare's policies ask nothing of the kind, or cannot tell the one from the other."""
    assert asked_once(ONE, ALIKE[name])


@pytest.mark.parametrize("name", UNALIKE)
def test_what_some_rule_reads_is_evaluated_by_itself(name: str) -> None:
    """Medicare's policies, or what every answer says, may turn on it."""
    assert not asked_once(ONE, UNALIKE[name])


def test_number_is_told_by_what_turns_on_it() -> None:
    """One unit is not too many, and two are as many as three; two muscles are one code's, three another's."""
    alone, twice, often = (treated(ONE, lines=(line("20560", quantity=n),)) for n in (1, 2, 3))
    assert asked_once(twice, often)
    assert not asked_once(alone, twice)
    least, most, many = (treated(ONE, lines=(line("20560", muscles=n),)) for n in (1, 2, 3))
    assert asked_once(least, most)
    assert not asked_once(most, many)


def dates_in(value: object) -> set[date]:
    """Every date in a value made of dataclasses, mappings and tuples."""
    if isinstance(value, date):
        return {value}
    if isinstance(value, Mapping):
        return dates_in(tuple(value.values()))
    if isinstance(value, tuple):
        return set().union(*map(dates_in, value))
    if is_dataclass(value):
        return dates_in(tuple(getattr(value, one.name) for one in fields(value) if one.compare))
    return set()


@pytest.mark.parametrize("part", ["documents", "vocabulary", "code_list", "state_scope"])
def test_evaluations_may_turn_on_every_date_of_a_catalog(part: str) -> None:
    """So that a further one, wherever it is written, is not left out."""
    files = sorted(Path(__file__).with_name("invented_policies").glob("*.yaml"))
    invented_ = [load_rule_document(file, packaged().vocabulary) for file in files]
    catalog = replace(packaged(), documents=(*packaged().documents, *invented_))
    alone = Catalog(version=1, **{part: getattr(catalog, part)})
    assert dates_in(getattr(catalog, part)) == set(alone.turns.dates)


def test_units_are_counted_where_a_limit_measures_them() -> None:
    """Then no quantity is like another."""
    limit = {"limit_id": LIMIT, "codes": ["20560"], "allowed": 12, "measure": "unit"}
    rules = CatalogRules(catalog_of(document(limits=[{**limit, "period": {"basis": "lifetime"}}])))
    for quantity in (2, 3):
        [claim] = rules.evaluate(invented(line(quantity=quantity))).claims
        assert claim.quantity == quantity


def test_day_of_filing_is_told_by_whether_it_is_late() -> None:
    """A visit that is reported in time is so on any day."""
    days = (0, 200, 366, 800)
    first, second, late, later = (replace(ONE, received_on=ON + timedelta(days=n)) for n in days)
    assert asked_once(first, second)
    assert asked_once(late, later)
    assert not asked_once(first, late)


def test_authorization_is_told_by_whether_it_serves_the_date() -> None:
    """Not by its number, nor by how long it serves."""
    other = Authorization(number="A2", start=ON, end=ON + timedelta(days=1))
    over = Authorization(number="A2", start=ON + timedelta(days=1))
    assert asked_once(HELD, treated(ONE, authorization=other))
    assert asked_once(LATE, treated(ONE, authorization=over))
    assert not asked_once(HELD, LATE)


@pytest.mark.parametrize(("basis", "kept"), [("injury", "I1"), ("plan_year", None)])
def test_id_is_kept_where_a_limit_goes_by_it(basis: str, kept: str | None) -> None:
    """Each injury has a period of its own then."""
    needling = ["service:dry_needling"]
    limits = [{"limit_id": LIMIT, "codes": needling, "allowed": 12, "period": {"basis": basis}}]
    rules, asked = CatalogRules(catalog_of(document(limits=limits))), invented(injury_id="I1")
    assert rules.bearing_on("invented-payer", asked.plan, asked.service).injury_id == kept


def test_member_without_a_plan_is_asked_nothing_of_plans() -> None:
    """No document is asked; what the state says of the profession stands all the same."""
    unknown = replace(ONE, plan=None, enrollment="unknown_member")
    assert asked_once(unknown, treated(unknown, clinical=Clinical(improving=True, purpose="active")))
    assert not asked_once(unknown, treated(unknown, state="CA"))


def test_period_follows_from_the_date_itself() -> None:
    """What no rule tells from another date is asked of the rules alone."""
    rules = CatalogRules(packaged())
    other = treated(ONE, service_date=ON + timedelta(days=1)).service
    assert rules.bearing_on("medicare", ONE.plan, other).service_date == other.service_date


def test_situation_that_bears_is_the_same_again() -> None:
    """What was taken out once leaves nothing more to take out."""
    catalog, draw = packaged(), generator(2)
    for _ in range(DRAWN):
        asked = replace(drawn_situation(draw), payer_id="medicare", plan=ONE.plan)
        bearing = catalog.bearing("medicare", ONE.plan, asked.service.service_date)
        once = bearing.situation(asked)
        assert bearing.situation(once) == once
