"""Asks the rule catalog about one service in its situation. Pure (being filled in)."""

from __future__ import annotations

from datetime import date

from shared.domain.catalog import Catalog
from shared.domain.evaluation import (
    Advisory,
    BillingGuidance,
    Contact,
    CostSharing,
    Decision,
    DocumentationItem,
    Evaluation,
    Guidance,
    LimitClaim,
    LineEvaluation,
    Overruled,
    Reason,
    SelfPayEstimate,
    Situation,
    Source,
)
from shared.domain.limit import Limit

__all__ = [
    "Advisory",
    "BillingGuidance",
    "Contact",
    "CostSharing",
    "Decision",
    "DocumentationItem",
    "Evaluation",
    "Guidance",
    "LimitClaim",
    "LineEvaluation",
    "Overruled",
    "Reason",
    "SelfPayEstimate",
    "Situation",
    "Source",
    "evaluate",
]

SHP = Source(
    document_id="shp-dry-needling-employer",
    version=1,
    authority="payer_policy",
    citation="000_879107c43c50977a.txt",
    effective_from=date(2021, 1, 1),
)
SHP_LIMIT = Limit(
    limit_id="dry-needling", allowed=20, pool=("20560", "20561"), assumptions=("measure", "plan_year_start")
)


def _refusal(situation: Situation) -> tuple[Decision, Reason] | None:
    refusals: dict[str, tuple[Decision, Reason]] = {
        "unknown_member": (
            "unknown_verify_with_plan",
            Reason(code="not_enrolled", text="the member is not known to the payer", carc="31"),
        ),
        "before_coverage": (
            "not_covered",
            Reason(code="before_coverage", text="before coverage begins", carc="26"),
        ),
        "after_coverage": (
            "not_covered",
            Reason(code="after_coverage", text="after coverage ended", carc="27"),
        ),
    }
    plan, on = situation.plan, situation.service.service_date
    if situation.enrollment in refusals:
        return refusals[situation.enrollment]
    if situation.payer_id != "security-health-plan":
        return "unknown_verify_with_plan", Reason(
            code="rule_not_loaded", text="no rule is held for this payer"
        )
    if plan is None or plan.funding != "fully_insured" or plan.market != "group":
        return "unknown_verify_with_plan", Reason(code="plan_not_matched", text="no rule speaks of this plan")
    if on < date(2021, 1, 1):
        return "unknown_verify_with_plan", Reason(
            code="rule_not_in_force", text="no rule in force on that date"
        )
    return None


def evaluate(catalog: Catalog, situation: Situation) -> Evaluation:
    """The evaluation of one service. Pure: equal arguments give equal results."""
    refusal = _refusal(situation)
    needling = tuple(
        i for i, line in enumerate(situation.service.lines) if catalog.is_needling(line.procedure_code)
    )
    if refusal is None and not needling:
        refusal = (
            "unknown_verify_with_plan",
            Reason(code="code_not_listed", text="no rule lists this code"),
        )
    if refusal is not None:
        return Evaluation(
            decision=refusal[0],
            catalog_version=catalog.version,
            reasons=(refusal[1],),
            lines=tuple(
                LineEvaluation(
                    procedure_code=line.procedure_code,
                    needling=catalog.is_needling(line.procedure_code),
                    decision=refusal[0],
                    reasons=(refusal[1],),
                )
                for line in situation.service.lines
            ),
        )
    claims = (LimitClaim(limit=SHP_LIMIT, quantity=1, lines=needling, source=SHP),)
    return Evaluation(
        decision="covered_with_conditions",
        catalog_version=catalog.version,
        conditions=("cost_sharing_applies",),
        prior_authorization="not_required",
        cost_sharing=CostSharing(note="subject to the plan's cost sharing"),
        lines=tuple(
            LineEvaluation(
                procedure_code=line.procedure_code,
                needling=catalog.is_needling(line.procedure_code),
                decision="covered_with_conditions" if i in needling else "unknown_verify_with_plan",
                limit_ids=("dry-needling",) if i in needling else (),
                source=SHP if i in needling else None,
            )
            for i, line in enumerate(situation.service.lines)
        ),
        claims=claims,
        matching_limits=claims,
        source=SHP,
    )
