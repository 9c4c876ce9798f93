"""Builders of situations and rule documents for the tests of the rules. Everybody in here is invented."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import yaml

from shared.adapters.catalog_files import load_catalog
from shared.domain.catalog import Catalog
from shared.domain.enrollment import Plan
from shared.domain.evaluation import Evaluation, Situation
from shared.domain.line_evaluation import subjects_of
from shared.domain.predicate import Subject
from shared.domain.rule_document import RuleDocument
from shared.domain.rule_evaluation import evaluate
from shared.domain.rule_parsing import parse_rule_document
from shared.domain.service import Authorization, Clinical, Network, Provider, Service, ServiceLine

SHP = "security-health-plan"
MEDICA = "medica-central"
PT = "physical_therapist"
ON = date(2026, 3, 4)
LOW_BACK_PAIN = "M54.50"
NECK_PAIN = "M54.2"
YEAR = "medicare-needling-year"
WINDOW = "medicare-needling-90-days"
#: A chart of low back pain for far more than twelve weeks, from nothing else.
CHRONIC = Clinical(onset_on=date(2025, 1, 6))


@functools.cache
def packaged() -> Catalog:
    """The catalog that comes with the service."""
    return load_catalog()


def plan(payer_id: str = SHP, **changes: Any) -> Plan:
    """A fully insured employer plan of a payer."""
    fields: dict[str, Any] = {
        "payer_id": payer_id,
        "plan_id": "plan-1",
        "name": "A plan",
        "funding": "fully_insured",
        "market": "group",
    }
    return Plan(**{**fields, **changes})


def medicare_plan(payer_id: str = "medicare", market: str = "medicare") -> Plan:
    """A government plan of a payer."""
    return plan(payer_id, funding="government", market=market)


def line(code: str = "20560", *diagnoses: str, **changes: Any) -> ServiceLine:
    """One billed line."""
    return ServiceLine(procedure_code=code, diagnosis_codes=diagnoses, **changes)


def situation(
    of: Plan | None = None,
    *lines: ServiceLine,
    on: date = ON,
    provider: str | None = PT,
    credentials: tuple[str, ...] = (),
    state: str | None = "WI",
    clinical: Clinical = Clinical(),  # noqa: B008 - a frozen value
    network: Network | None = None,
    authorization: Authorization | None = None,
    injury_id: str | None = None,
    place_of_service: str | None = None,
    **changes: Any,
) -> Situation:
    """One session by a physical therapist in Wisconsin for an enrolled member, unless said otherwise."""
    its_plan = of or plan()
    service = Service(
        service_date=on,
        lines=lines or (line(),),
        provider=Provider(type=provider, credentials=credentials),
        state=state,
        place_of_service=place_of_service,
        network=network,
        clinical=clinical,
        authorization=authorization,
        injury_id=injury_id,
    )
    fields: dict[str, Any] = {
        "payer_id": its_plan.payer_id,
        "plan": its_plan,
        "enrollment": "enrolled",
        "service": service,
    }
    return Situation(**{**fields, **changes})


def medicare(diagnosis: str = LOW_BACK_PAIN, code: str = "20560", **changes: Any) -> Situation:
    """A Medicare member's session by a physician for chronic low back pain, unless said otherwise."""
    modifiers = changes.pop("modifiers", ())
    of = changes.pop("of", None) or medicare_plan()
    fields: dict[str, Any] = {"provider": "physician", "clinical": CHRONIC}
    return situation(of, line(code, diagnosis, modifiers=modifiers), **{**fields, **changes})


def ask(asked: Situation, catalog: Catalog | None = None) -> Evaluation:
    """What a catalog, the packaged one by default, says of a situation."""
    return evaluate(catalog or packaged(), asked)


def subject(asked: Situation | None = None, index: int = 0) -> Subject:
    """A line of a situation as conditions are asked about it."""
    return subjects_of(asked or situation())[index]


BASE: Mapping[str, Any] = {
    "document_id": "invented",
    "version": 1,
    "title": "An invented policy",
    "authority": "payer_policy",
    "source": {"citation": "invented for a test"},
    "effective": {"from": date(2020, 1, 1)},
    "applies_to": [{"payers": ["invented-payer"]}],
    "rules": [{"id": "covered", "codes": ["service:dry_needling"], "decision": "covered"}],
}


def body(text: str = "", **changes: Any) -> dict[str, Any]:
    """The data of an invented rule document: the base, then YAML `text`, then `changes`; None leaves out."""
    merged = {**BASE, **(yaml.safe_load(text) or {}), **changes}
    return {key: value for key, value in merged.items() if value is not None}


def document(text: str = "", **changes: Any) -> RuleDocument:
    """The rule document that `body` states, with the packaged vocabulary."""
    return parse_rule_document(body(text, **changes), packaged().vocabulary)


def catalog_of(*documents: RuleDocument) -> Catalog:
    """The packaged catalog with further documents."""
    return packaged().with_documents(documents, version=2)


def invented(*lines: ServiceLine, **changes: Any) -> Situation:
    """A session of a member of the invented payer's employer plan."""
    of = changes.pop("of", None) or plan("invented-payer", contract_start=date(2020, 1, 1))
    return situation(of, *lines, **changes)


def codes(evaluation: Evaluation) -> tuple[str, ...]:
    """The codes of the reasons, in order."""
    return tuple(reason.code for reason in evaluation.reasons)


def claimed(evaluation: Evaluation) -> dict[str, int]:
    """What is claimed of each limit."""
    return {claim.limit.limit_id: claim.quantity for claim in evaluation.claims}


def numbered(asked: Situation, **numbers: int) -> Situation:
    """The situation with visit numbers; `_` in a name stands for `-`."""
    return replace(asked, visit_numbers=tuple((k.replace("_", "-"), n) for k, n in numbers.items()))
