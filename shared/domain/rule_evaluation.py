"""Asks the rule catalog about one service in its situation: one pure function, `evaluate`.

Checks, holds and the counting of visits all ask it, so that what is told and what is counted cannot
differ (contract section 4). It says nothing about room in a limit: the caller counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from shared.domain.catalog import Catalog, Selection
from shared.domain.evaluation import (
    COVERING,
    DECISIONS,
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
    Requirement,
    SelfPayEstimate,
    Situation,
    Source,
    worst,
)
from shared.domain.limit import Limit
from shared.domain.line_evaluation import (
    LineOutcome,
    evaluate_line,
    refused_line,
    scope_row,
    subjects_of,
)
from shared.domain.line_terms import (
    FedLimit,
    access_standing,
    advisories,
    billing_guidance,
    contacts,
    cost_sharing,
    documentation_items,
    first_stating,
    limit_on,
    limit_rules,
)
from shared.domain.predicate import Subject, merged
from shared.domain.state_scope import SCOPE_REASONS
from shared.domain.vocabulary import ReasonTemplate

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

#: What the member's enrollment decides by itself.
_STANDINGS: dict[str, tuple[Decision, str]] = {
    "unknown_member": ("unknown_verify_with_plan", "not_enrolled"),
    "before_coverage": ("not_covered", "before_coverage"),
    "after_coverage": ("not_covered", "after_coverage"),
}
#: Of several lines' requirements the first of these is the visit's.
_REQUIREMENT_ORDER: tuple[Requirement, ...] = ("required", "unknown", "not_required", "not_applicable")

_UNKNOWN: Decision = "unknown_verify_with_plan"
_T = TypeVar("_T")
_NO_SELECTION = Selection(documents=(), articles=(), gap=None)


def evaluate(catalog: Catalog, situation: Situation) -> Evaluation:
    """What the rules say of one service, before its limits are counted.

    Pure: equal catalogs and situations give equal evaluations. Raises nothing of its own; what the
    rules cannot answer is `unknown_verify_with_plan` with its reason.
    """
    subjects = subjects_of(situation)
    on = situation.service.service_date
    standing = _STANDINGS.get(situation.enrollment)
    if standing is None and situation.plan is None:
        standing = ("unknown_verify_with_plan", "plan_not_matched")
    if standing is not None or situation.plan is None:
        decision, code = standing or ("unknown_verify_with_plan", "plan_not_matched")
        reason = catalog.vocabulary.reason(ReasonTemplate(code=code), on)
        outcomes = tuple(refused_line(catalog, subject, decision, reason) for subject in subjects)
        return _assembled(catalog, situation, outcomes, _NO_SELECTION)
    selection = catalog.select(situation.payer_id, situation.plan, on)
    outcomes = tuple(evaluate_line(catalog, subject, selection) for subject in subjects)
    return _assembled(catalog, situation, outcomes, selection)


def _assembled(
    catalog: Catalog, situation: Situation, outcomes: tuple[LineOutcome, ...], selection: Selection
) -> Evaluation:
    """The evaluation of a service from the outcomes of its lines."""
    governing = _governing(catalog, outcomes, selection)
    decision = worst(*(outcome.decision for outcome in governing)) if governing else _UNKNOWN
    first = sorted(governing, key=lambda outcome: DECISIONS.index(outcome.decision))
    covering = decision in COVERING
    numbered_by = _numbered_by(outcomes, selection)
    governed_by = {outcome.subject.index for outcome in governing}
    book = catalog.guidance
    return Evaluation(
        decision=decision,
        catalog_version=catalog.version,
        reasons=_once(reason for outcome in first for reason in outcome.reasons),
        overruled=_once(item for outcome in governing for item in outcome.overruled),
        missing_inputs=merged(outcome.missing for outcome in governing),
        conditions=_once(n.code for o in governing for n in o.conditions) if covering else (),
        condition_texts=_condition_texts(catalog, governing) if covering else (),
        documentation=_documentation(catalog, governing),
        prior_authorization=_requirement(governing, "prior_authorization"),
        referral=_requirement(governing, "referral"),
        cost_sharing=_cost_sharing(first),
        lines=tuple(_line(outcome, governs=outcome.subject.index in governed_by) for outcome in outcomes),
        claims=_dated(catalog, situation, _claims((o.subject, o.limits) for o in outcomes)),
        matching_limits=_dated(catalog, situation, _matching_limits(outcomes, selection)),
        uses_visit_number=bool(numbered_by),
        numbered_by=numbered_by,
        advisories=_advisories(catalog, situation, governing, decision),
        self_pay_estimate=book.self_pay_estimate,
        hsa_fsa=book.hsa_fsa,
        appeal=book.appeal,
        contacts=_contacts(catalog, situation, governing),
        billing_guidance=_billing_guidance(catalog, governing),
        source=first[0].source if first else None,
        disclaimer=book.disclaimer,
    )


def _once(items: Iterable[_T]) -> tuple[_T, ...]:
    """Each item once, in order."""
    return tuple(dict.fromkeys(items))


def _governing(
    catalog: Catalog, outcomes: tuple[LineOutcome, ...], selection: Selection
) -> tuple[LineOutcome, ...]:
    """The lines whose worst decision is the visit's (contract section 5).

    The dry needling lines; where there is none, those that a limit counts together with dry needling
    (acupuncture of a Medicare member); where there is none either, all.
    """
    needling = tuple(outcome for outcome in outcomes if outcome.needling)
    if needling:
        return needling
    pooled = tuple(
        outcome
        for outcome in outcomes
        if catalog.pooled_with_needling(selection.documents, outcome.subject.line.procedure_code)
    )
    return pooled or outcomes


def _line(outcome: LineOutcome, *, governs: bool) -> LineEvaluation:
    return LineEvaluation(
        procedure_code=outcome.subject.line.procedure_code,
        needling=outcome.needling,
        decision=outcome.decision,
        reasons=outcome.reasons,
        limit_ids=tuple(fed.limit.limit_id for fed in outcome.limits),
        source=outcome.source,
        governs=governs,
    )


def _claims(fed: Iterable[tuple[Subject, Iterable[FedLimit]]]) -> tuple[LimitClaim, ...]:
    """What lines add to the limits they feed, per limit, in the limit's measure."""
    by_limit: dict[str, list[tuple[Subject, FedLimit]]] = {}
    for subject, limits in fed:
        for limit in limits:
            by_limit.setdefault(limit.limit.limit_id, []).append((subject, limit))
    return tuple(
        LimitClaim(
            limit=feeding[0][1].limit,
            quantity=_quantity(feeding[0][1].limit, [subject for subject, _ in feeding]),
            lines=tuple(subject.index for subject, _ in feeding),
            source=feeding[0][1].source,
        )
        for feeding in by_limit.values()
    )


def _dated(catalog: Catalog, situation: Situation, claims: tuple[LimitClaim, ...]) -> tuple[LimitClaim, ...]:
    """The claims, each limit keeping dates where the payer's documents need them."""
    needed = catalog.dated_limits(situation.payer_id)
    if not any(claim.limit.limit_id in needed for claim in claims):
        return claims
    return tuple(
        replace(claim, limit=replace(claim.limit, dated=claim.limit.limit_id in needed)) for claim in claims
    )


def _quantity(limit: Limit, subjects: Sequence[Subject]) -> int:
    if limit.measure == "unit":
        return sum(subject.line.quantity for subject in subjects)
    return len(subjects) if limit.measure == "service_line" else 1


def _matching_limits(outcomes: tuple[LineOutcome, ...], selection: Selection) -> tuple[LimitClaim, ...]:
    """What the lines would add if every one were covered: for display beside a no or an unknown."""
    stack = tuple(selected.document for selected in selection.documents)
    return _claims(
        (
            outcome.subject,
            tuple(
                FedLimit(limit=limit_on(rule, outcome.subject)[0], source=document.source)
                for rule, document, _ in limit_rules(stack, outcome.subject)
            ),
        )
        for outcome in outcomes
    )


def _numbered_by(outcomes: tuple[LineOutcome, ...], selection: Selection) -> tuple[str, ...]:
    """The limits whose visit numbers a document asks for that speaks of some line.

    A floor with a document below it asks for those of its own limits: beyond them it does not bind.
    """
    codes = [outcome.subject.line.procedure_code for outcome in outcomes]
    speaking = tuple(s for s in selection.documents if any(code in s.document.codes for code in codes))
    found: set[str] = set()
    for place, selected in enumerate(speaking):
        found |= selected.document.numbered_by
        if selected.floor and place + 1 < len(speaking):
            found |= {rule.limit.limit_id for rule in selected.document.limits if rule.limit.capped}
    return tuple(sorted(found))


def _requirement(governing: tuple[LineOutcome, ...], name: str) -> Requirement:
    found: set[Requirement] = set()
    for outcome in governing:
        document = first_stating(outcome.stack, name)
        found.add(access_standing(getattr(document, name), outcome.subject)[0] if document else "unknown")
    return next((requirement for requirement in _REQUIREMENT_ORDER if requirement in found), "unknown")


def _condition_texts(catalog: Catalog, governing: tuple[LineOutcome, ...]) -> tuple[tuple[str, str], ...]:
    notes = {note.code: note for outcome in governing for note in outcome.conditions}
    known = catalog.vocabulary.conditions
    return tuple((code, note.text or known.get(code, code)) for code, note in notes.items())


def _documentation(catalog: Catalog, governing: tuple[LineOutcome, ...]) -> tuple[DocumentationItem, ...]:
    """What the deciding documents ask the chart to hold, then what general articles advise."""
    asked = [item for outcome in governing for item in documentation_items(outcome.stack, outcome.subject)]
    if any(outcome.needling for outcome in governing):
        documented = governing[0].subject.documented or frozenset()
        asked += [item for item in catalog.guidance.documentation if item.code not in documented]
    first: dict[str, DocumentationItem] = {}
    for item in asked:
        first.setdefault(item.code, item)
    return tuple(first.values())


def _cost_sharing(governing: Sequence[LineOutcome]) -> CostSharing:
    stated = (cost_sharing(outcome.stack, outcome.subject) for outcome in governing)
    return next((sharing for sharing in stated if sharing.source is not None), CostSharing())


def _advisories(
    catalog: Catalog, situation: Situation, governing: tuple[LineOutcome, ...], decision: Decision
) -> tuple[Advisory, ...]:
    found = [item for outcome in governing for item in outcome.advisories]
    found += [item for outcome in governing for item in advisories(outcome.stack, outcome.subject)]
    frequency = catalog.guidance.frequency
    if frequency is not None and any(outcome.needling for outcome in governing):
        advice = frequency.advisory(situation.service.service_date, situation.recent_service_dates)
        found += [advice] if advice else []
    if decision == _UNKNOWN:
        found += catalog.guidance.ask_your_plan
    if situation.enrollment == "unknown_member":
        found += _scope_advisories(catalog, governing)
    return _once(found)


def _scope_advisories(catalog: Catalog, governing: tuple[LineOutcome, ...]) -> Iterable[Advisory]:
    """What the state says of the profession, where the member is not known and nothing is decided."""
    for outcome in governing:
        row = scope_row(catalog, outcome.subject) if outcome.needling else None
        if row is not None and row.status != "allowed":
            yield Advisory(code=SCOPE_REASONS[row.status], text=row.text, source=row.source)


def _contacts(
    catalog: Catalog, situation: Situation, governing: tuple[LineOutcome, ...]
) -> tuple[Contact, ...]:
    """Whom to ask: those the documents name, those of the payer, else the general advice."""
    payer = catalog.payers.get(situation.payer_id)
    named = [contact for outcome in governing for contact in contacts(outcome.stack)]
    named += payer.contacts if payer else ()
    return _once(named) or catalog.guidance.contacts


def _billing_guidance(catalog: Catalog, governing: tuple[LineOutcome, ...]) -> tuple[BillingGuidance, ...]:
    stated = _once(item for outcome in governing for item in billing_guidance(outcome.stack, outcome.subject))
    unknown = catalog.guidance.billing_unknown
    return stated or ((unknown,) if unknown else ())
