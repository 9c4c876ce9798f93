"""What the terms of rule documents ask of one covered line: limits, authorization, charting, filing.

The terms of a line are those of the document that decides it, of the documents above that speak of
the line without deciding it, and of those below that do. A document that lost states no terms, and
no lower document narrows what a floor requires (contract section 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from shared.domain.evaluation import (
    Advisory,
    BillingGuidance,
    Contact,
    CostSharing,
    DocumentationItem,
    Requirement,
    Source,
)
from shared.domain.limit import Limit
from shared.domain.predicate import Subject, Truth, Verdict, merged
from shared.domain.record import record
from shared.domain.rule_document import AccessRule, Criterion, Effect, LimitRule, Rule, RuleDocument
from shared.domain.vocabulary import ReasonTemplate

Stack = tuple[RuleDocument, ...]

_UNKNOWN: Effect = "unknown_verify_with_plan"
_INPUT_MISSING = ReasonTemplate(code="input_missing")
_OUTSIDE_AUTHORIZATION = ReasonTemplate(
    code="period_unknown",
    text="the limit counts per authorization, and the one stated does not hold on the service date",
)
_NO_CONTRACT_START = ReasonTemplate(
    code="period_unknown",
    text="the limit counts per contract year, and when the plan's begins is not known",
)
_LATE = ReasonTemplate(code="timely_filing")
_UNDOCUMENTED = ReasonTemplate(code="documentation_needed")


@record(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a rule or term asks for that is not there, or of which that is not known.

    `certain` is True where it is known not to hold; `lacking` are the request paths it waits for.
    """

    effect: Effect
    reason: ReasonTemplate
    source: Source
    certain: bool
    lacking: tuple[str, ...] = ()
    condition: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class FedLimit:
    """A limit that a line feeds if it is covered, and the document that sets it."""

    limit: Limit
    source: Source


def criterion_findings(
    criteria: tuple[Criterion, ...], subject: Subject, source: Source
) -> Iterator[Finding]:
    """A finding for each criterion that does not hold, or of which it is not known."""
    for criterion in criteria:
        verdict = criterion.test.evaluate(subject)
        if verdict.truth is not Truth.TRUE:
            yield Finding(
                effect=criterion.otherwise,
                reason=criterion.reason,
                source=source,
                certain=verdict.truth is Truth.FALSE,
                lacking=verdict.missing,
                condition=criterion.condition,
            )


def limit_rules(
    stack: Stack, subject: Subject, rule: Rule | None = None, deciding: RuleDocument | None = None
) -> Iterator[tuple[LimitRule, RuleDocument, Verdict]]:
    """The limits of a stack that a line may feed, each id once, the highest document's.

    `rule` narrows the limits of the deciding document to those it names.
    """
    seen: set[str] = set()
    for document in stack:
        for limit_rule in document.limits:
            limit_id = limit_rule.limit.limit_id
            narrowed = document is deciding and rule is not None and rule.limits is not None
            if limit_id in seen or (narrowed and rule is not None and limit_id not in (rule.limits or ())):
                continue
            if subject.line.procedure_code not in limit_rule.codes:
                continue
            verdict = limit_rule.when.evaluate(subject)
            if verdict.truth is not Truth.FALSE:
                seen.add(limit_id)
                yield limit_rule, document, verdict
        seen |= document.replaces_limits


def limit_on(limit_rule: LimitRule, subject: Subject) -> tuple[Limit, tuple[str, ...]]:
    """The limit with the units allowed to this line, and the paths it takes to know them."""
    for variant in limit_rule.variants:
        verdict = variant.when.evaluate(subject)
        if verdict.truth is Truth.TRUE:
            return replace(limit_rule.limit, allowed=variant.allowed), ()
        if verdict.truth is Truth.MISSING:
            return limit_rule.limit, verdict.missing
    return limit_rule.limit, ()


def _subject_path(limit: Limit, subject: Subject) -> tuple[str, ...]:
    """The request path that names the limit's period, where the request leaves it out."""
    if limit.basis == "injury" and subject.service.injury_id is None:
        return ("injury_id",)
    if limit.basis == "authorization" and subject.service.authorization is None:
        return ("authorization.number",)
    return ()


def _period_not_known(limit: Limit, subject: Subject) -> ReasonTemplate | None:
    """Why a service lies in no period of the limit that anybody could name, whatever the request adds."""
    service, plan = subject.service, subject.situation.plan
    held = service.authorization
    if limit.basis == "authorization" and held is not None and not held.covers(service.service_date):
        return _OUTSIDE_AUTHORIZATION
    if limit.basis == "contract_year" and plan is not None and plan.contract_start is None:
        return _NO_CONTRACT_START
    return None


def limit_findings(
    stack: Stack, subject: Subject, rule: Rule, deciding: RuleDocument
) -> tuple[tuple[FedLimit, ...], tuple[Finding, ...]]:
    """The limits a covered line feeds, and what they ask for that is not there."""
    fed: list[FedLimit] = []
    findings: list[Finding] = []
    numbers = dict(subject.situation.visit_numbers)
    for limit_rule, document, verdict in limit_rules(stack, subject, rule, deciding):
        limit, unknown_allowed = limit_on(limit_rule, subject)
        source = document.source
        fed.append(FedLimit(limit=limit, source=source))
        for lacking, certain in (
            (verdict.missing, False),
            (unknown_allowed, False),
            (_subject_path(limit, subject), verdict.truth is Truth.TRUE),
        ):
            if lacking:
                findings.append(
                    Finding(
                        effect=_UNKNOWN,
                        reason=_INPUT_MISSING,
                        source=source,
                        certain=certain,
                        lacking=lacking,
                    )
                )
        nameless = _period_not_known(limit, subject)
        if nameless is not None:
            certain = verdict.truth is Truth.TRUE
            findings.append(Finding(effect=_UNKNOWN, reason=nameless, source=source, certain=certain))
        for extension in limit_rule.extensions:
            # Beyond what is allowed at all no extension helps: then the limit itself is the reason.
            if extension.beyond < numbers.get(limit.limit_id, 1) <= limit.allowed:
                findings += criterion_findings(extension.criteria, subject, source)
    return tuple(fed), tuple(findings)


def access_standing(
    rules: tuple[AccessRule, ...], subject: Subject
) -> tuple[Requirement, tuple[tuple[AccessRule, tuple[str, ...]], ...]]:
    """The status, and the rules that may require something, each with the paths it waits for."""
    statuses: set[Requirement] = set()
    requiring: list[tuple[AccessRule, tuple[str, ...]]] = []
    waiting: tuple[str, ...] = ()
    closed = False
    for rule in rules:
        verdict = rule.when.evaluate(subject)
        if verdict.truth is Truth.FALSE:
            continue
        statuses.add(rule.status)
        waiting = merged((waiting, verdict.missing))
        if rule.status == "required":
            requiring.append((rule, waiting))
        if verdict.truth is Truth.TRUE:
            closed = True
            break
    if not closed:
        statuses.add("unknown")
    return (statuses.pop() if len(statuses) == 1 else "unknown"), tuple(requiring)


def first_stating(stack: Stack, name: str) -> RuleDocument | None:
    """The highest document of a stack that states a term."""
    return next((document for document in stack if getattr(document, name)), None)


def access_findings(stack: Stack, subject: Subject) -> Iterator[Finding]:
    """What prior authorization and referral ask for that is not there."""
    authorized = _authorization_reason(subject)
    document = first_stating(stack, "prior_authorization")
    if document is not None and authorized is not None:
        for rule, waiting in access_standing(document.prior_authorization, subject)[1]:
            yield _access_finding(rule, authorized, document, waiting, "authorization_required")
    document = first_stating(stack, "referral")
    if document is not None and "referral" not in (subject.documented or ()):
        reason = ReasonTemplate(code="referral_required")
        for rule, waiting in access_standing(document.referral, subject)[1]:
            yield _access_finding(rule, reason, document, waiting, "referral_required")


def _access_finding(
    rule: AccessRule,
    reason: ReasonTemplate,
    document: RuleDocument,
    waiting: tuple[str, ...],
    condition: str,
) -> Finding:
    return Finding(
        effect=rule.if_absent,
        reason=rule.reason or reason,
        source=document.source,
        certain=not waiting,
        lacking=waiting,
        condition=condition,
    )


def _authorization_reason(subject: Subject) -> ReasonTemplate | None:
    """Why the authorization held does not serve the service date; None if it does."""
    authorization, on = subject.service.authorization, subject.service.service_date
    if authorization is None:
        return ReasonTemplate(code="authorization_required")
    begun = authorization.start is None or authorization.start <= on
    if begun and (authorization.end is None or on < authorization.end):
        return None
    return ReasonTemplate(code="authorization_not_valid_on_date")


def documentation_findings(stack: Stack, subject: Subject) -> Iterator[Finding]:
    """What a missing chart item does where a document says that it does something."""
    documented = subject.documented
    for document in stack:
        for item in document.documentation:
            verdict = item.when.evaluate(subject)
            if item.effect == "list" or verdict.truth is Truth.FALSE or item.code in (documented or ()):
                continue
            # A chart of which nothing was said may hold the item: reason enough to ask for it, none to deny.
            denies = item.effect == "deny"
            unsaid = ("clinical.documented",) if documented is None else ()
            yield Finding(
                effect="not_covered" if denies else "condition",
                reason=replace(_UNDOCUMENTED, text=item.text),
                source=document.source,
                certain=verdict.truth is Truth.TRUE and not (denies and unsaid),
                lacking=merged((verdict.missing, unsaid)),
                condition="documentation_needed",
            )


def filing_findings(stack: Stack, subject: Subject) -> Iterator[Finding]:
    """A visit reported after the last day of timely filing; a check has no such day."""
    received_on = subject.situation.received_on
    document = first_stating(stack, "timely_filing")
    if received_on is None or document is None:
        return
    waiting: tuple[str, ...] = ()
    for filing in document.timely_filing:
        verdict = filing.when.evaluate(subject)
        if verdict.truth is Truth.FALSE:
            continue
        waiting = merged((waiting, verdict.missing))
        if received_on > filing.last_day(subject.service.service_date):
            yield Finding(
                effect="not_covered",
                reason=_LATE,
                source=document.source,
                certain=not waiting,
                lacking=waiting,
            )
        if verdict.truth is Truth.TRUE:
            return


def documentation_items(stack: Stack, subject: Subject) -> tuple[DocumentationItem, ...]:
    """The chart items that the documents ask for and the request does not say are there."""
    return tuple(
        DocumentationItem(
            code=item.code, text=item.text, required=item.effect != "list", source=document.source
        )
        for document in stack
        for item in document.documentation
        if item.code not in (subject.documented or ())
        and item.when.evaluate(subject).truth is not Truth.FALSE
    )


def cost_sharing(stack: Stack, subject: Subject) -> CostSharing:
    """What the member pays: of the highest document that says, its first part that holds."""
    document = first_stating(stack, "cost_sharing")
    for rule in document.cost_sharing if document else ():
        truth = rule.when.evaluate(subject).truth
        if truth is Truth.MISSING:
            break
        if truth is Truth.TRUE and document is not None:
            return CostSharing(
                status=rule.status,
                note=rule.note,
                copay_cents=rule.copay_cents,
                coinsurance_percent=rule.coinsurance_percent,
                deductible_applies=rule.deductible_applies,
                source=document.source,
            )
    return CostSharing(status="unknown", source=document.source if document else None)


def advisories(stack: Stack, subject: Subject) -> tuple[Advisory, ...]:
    """The advisories of the documents, where they may hold."""
    return tuple(
        Advisory(code=statement.code, text=statement.text, source=document.source)
        for document in stack
        for statement in document.advisories
        if statement.when.evaluate(subject).truth is not Truth.FALSE
    )


def billing_guidance(stack: Stack, subject: Subject) -> tuple[BillingGuidance, ...]:
    """How the documents say the service is to be billed."""
    return tuple(
        BillingGuidance(status="stated", text=statement.text, source=document.source)
        for document in stack
        for statement in document.billing_guidance
        if statement.when.evaluate(subject).truth is not Truth.FALSE
    )


def contacts(stack: Stack) -> tuple[Contact, ...]:
    """Whom the documents name."""
    return tuple(
        replace(contact, source=document.source) for document in stack for contact in document.contacts
    )
