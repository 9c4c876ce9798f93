"""A rule document: a dated, versioned, cited statement of what is covered, and its parts.

The rules of a document are a list in which the first that holds decides. A rule that covers may
carry criteria; each criterion that fails gives its reason. Besides deciding, a document states terms
(limits, prior authorization, cost sharing, ...) that hold for the services it speaks of. All values
are frozen; `rule_parsing` makes them from data.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from shared.domain.code_sets import ProcedureSet
from shared.domain.enrollment import Plan
from shared.domain.evaluation import Authority, Contact, Decision, Requirement, Source, address_in
from shared.domain.limit import Limit
from shared.domain.predicate import ALWAYS, Predicate, walk
from shared.domain.predicate_tests import DaysSinceFirstVisitTest, OneOf, VisitNumberTest
from shared.domain.vocabulary import ReasonTemplate

#: What becomes of a line when a criterion fails.
Effect = Literal["not_covered", "unknown_verify_with_plan", "condition"]
EFFECTS: tuple[Effect, ...] = ("not_covered", "unknown_verify_with_plan", "condition")
#: What becomes of a line whose chart lacks an item: nothing, a condition, or denial.
DocumentationEffect = Literal["list", "pend", "deny"]
DOCUMENTATION_EFFECTS: tuple[DocumentationEffect, ...] = ("list", "pend", "deny")
FilingUnit = Literal["days", "months", "calendar_years"]
FILING_UNITS: tuple[FilingUnit, ...] = ("days", "months", "calendar_years")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whom a document speaks of. None is "any"; a plan without a region is in no named region.

    `states` are those of the service, which a request may leave out, so they are a condition.
    """

    payers: frozenset[str] | None = None
    plans: frozenset[str] | None = None
    except_plans: frozenset[str] = frozenset()
    fundings: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    regions: frozenset[str] | None = None
    states: frozenset[str] | None = None

    def admits(self, payer_id: str, plan: Plan) -> bool:
        """Whether a plan of a payer is spoken of."""
        return (
            (self.payers is None or payer_id in self.payers)
            and (self.plans is None or plan.plan_id in self.plans)
            and plan.plan_id not in self.except_plans
            and (self.fundings is None or plan.funding in self.fundings)
            and (self.markets is None or plan.market in self.markets)
            and (self.regions is None or plan.region in self.regions)
        )

    def overlaps(self, other: Scope) -> bool:
        """Whether some plan may be spoken of by both."""
        pairs = (
            (self.payers, other.payers),
            (self.plans, other.plans),
            (self.fundings, other.fundings),
            (self.markets, other.markets),
            (self.regions, other.regions),
        )
        return all(mine is None or theirs is None or not mine.isdisjoint(theirs) for mine, theirs in pairs)

    @property
    def specificity(self) -> int:
        """How narrow it is: a named plan outweighs a region, that a market or funding, that a payer."""
        return (
            16 * (self.plans is not None)
            + 8 * (self.regions is not None)
            + 4 * (self.markets is not None)
            + 2 * (self.fundings is not None)
            + (self.payers is not None)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionNote:
    """A condition that a covering answer carries (`cost_sharing_applies`), where `when` may hold."""

    code: str
    text: str | None = None
    when: Predicate = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """Something that must hold for a rule to cover; if not, `otherwise` happens, with its reason."""

    criterion_id: str
    test: Predicate
    otherwise: Effect
    reason: ReasonTemplate
    condition: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: for lines with `codes`, where `when` holds, `decision`, provided the criteria hold.

    `limits` names the limits of the document that its lines feed; None is every one that matches.
    """

    rule_id: str
    codes: ProcedureSet
    when: Predicate
    decision: Decision
    reason: ReasonTemplate | None = None
    criteria: tuple[Criterion, ...] = ()
    conditions: tuple[ConditionNote, ...] = ()
    limits: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """What must hold for visits numbered above `beyond` in a limit's period, up to what is allowed."""

    beyond: int
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedVariant:
    """Another `allowed` where `when` holds; the first that holds counts."""

    when: Predicate
    allowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """A limit, the lines that feed it (`codes`, where `when` holds), and what it asks of later visits."""

    limit: Limit
    codes: ProcedureSet
    when: Predicate = ALWAYS
    extensions: tuple[Extension, ...] = ()
    variants: tuple[AllowedVariant, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """Prior authorization or referral: the status where `when` holds; the first that holds counts.

    `if_absent` is what becomes of a covered line that lacks what is `required`.
    """

    status: Requirement
    when: Predicate = ALWAYS
    if_absent: Effect = "not_covered"
    reason: ReasonTemplate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentationRule:
    """An item the chart should hold, where `when` may hold, and what its absence does."""

    code: str
    text: str
    effect: DocumentationEffect = "list"
    when: Predicate = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSharingRule:
    """What the member pays where `when` holds; the first that holds counts."""

    status: Literal["stated", "none", "unknown"]
    when: Predicate = ALWAYS
    note: str | None = None
    copay_cents: int | None = None
    coinsurance_percent: int | None = None
    deductible_applies: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A text with a code, shown where `when` may hold: an advisory or billing guidance."""

    code: str
    text: str
    when: Predicate = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelyFiling:
    """How long after the service date a visit may be reported where `when` holds; the first counts."""

    amount: int
    unit: FilingUnit
    when: Predicate = ALWAYS

    def last_day(self, service_date: date) -> date:
        """The last date on which it is still in time. A February 29 ends on the 28th of a common year.

        The calendar's last day stands for any that would lie behind it.
        """
        if self.unit == "days":
            return service_date + timedelta(days=self.amount)
        months = self.amount * (12 if self.unit == "calendar_years" else 1)
        count = service_date.year * 12 + service_date.month - 1 + months
        year, month = count // 12, count % 12 + 1
        if year > date.max.year:
            return date.max
        return date(year, month, min(service_date.day, calendar.monthrange(year, month)[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """What the source leaves open and we chose: about what, and the choice."""

    about: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDocument:
    """One version of a rule document, in force over `[effective_from, effective_until)`.

    `floor_for` are the markets where its yes binds and its no does not. `held` is False for a version
    known to exist whose text we do not have, `withdrawn` True for one that ends the document.
    `body` is the document as it was given, as canonical JSON, `source` how a determination names it.
    """

    document_id: str
    version: int
    title: str
    authority: Authority
    citation: str
    url: str | None = None
    effective_from: date | None = None
    effective_until: date | None = None
    held: bool = True
    withdrawn: bool = False
    scopes: tuple[Scope, ...] = ()
    floor_for: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    limits: tuple[LimitRule, ...] = ()
    replaces_limits: frozenset[str] = frozenset()
    prior_authorization: tuple[AccessRule, ...] = ()
    referral: tuple[AccessRule, ...] = ()
    cost_sharing: tuple[CostSharingRule, ...] = ()
    conditions: tuple[ConditionNote, ...] = ()
    documentation: tuple[DocumentationRule, ...] = ()
    billing_guidance: tuple[Statement, ...] = ()
    advisories: tuple[Statement, ...] = ()
    timely_filing: tuple[TimelyFiling, ...] = ()
    contacts: tuple[Contact, ...] = ()
    assumptions: tuple[Assumption, ...] = ()
    notes: tuple[str, ...] = ()
    codes: ProcedureSet = field(default_factory=ProcedureSet)
    numbered_by: frozenset[str] = frozenset()
    leaves: tuple[Predicate, ...] = ()
    body: str = "{}"
    source: Source = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Name the document once: every reason and every limit of it carries its source."""
        source = Source(
            document_id=self.document_id,
            version=self.version,
            authority=self.authority,
            citation=self.citation,
            effective_from=self.effective_from,
            title=self.title,
            url=self.url or address_in(self.citation),
        )
        object.__setattr__(self, "source", source)

    @property
    def decides(self) -> bool:
        """Whether it may say yes or no: a general article never does (contract I10)."""
        return self.authority != "general_article"

    @property
    def payers(self) -> frozenset[str] | None:
        """The payers it names; None if some part of it speaks of any payer."""
        named: set[str] = set()
        for scope in self.scopes:
            if scope.payers is None:
                return None
            named |= scope.payers
        return frozenset(named)

    def in_force(self, on: date) -> bool:
        """Whether `on` lies in its effective span."""
        begun = self.effective_from is None or self.effective_from <= on
        return begun and (self.effective_until is None or on < self.effective_until)

    def admitting(self, payer_id: str, plan: Plan) -> tuple[Scope, ...]:
        """The scopes that admit a plan; empty if it does not speak of it."""
        return tuple(scope for scope in self.scopes if scope.admits(payer_id, plan))

    def is_floor_for(self, plan: Plan) -> bool:
        """Whether only its yes binds for a plan (contract section 1)."""
        return plan.market in self.floor_for


def state_guard(scopes: tuple[Scope, ...]) -> Predicate:
    """The condition that admitting scopes put on the state of the service."""
    states: set[str | bool] = set()
    for scope in scopes:
        if scope.states is None:
            return ALWAYS
        states |= scope.states
    return OneOf("state", frozenset(states))


def predicates_of(document: RuleDocument) -> tuple[Predicate, ...]:
    """Every condition anywhere in a document."""
    found: list[Predicate] = []
    for rule in document.rules:
        found.append(rule.when)
        found += [criterion.test for criterion in rule.criteria]
        found += [note.when for note in rule.conditions]
    for limit in document.limits:
        found.append(limit.when)
        found += [variant.when for variant in limit.variants]
        found += [criterion.test for extension in limit.extensions for criterion in extension.criteria]
    for access in (*document.prior_authorization, *document.referral):
        found.append(access.when)
    found += [part.when for part in document.cost_sharing]
    found += [filing.when for filing in document.timely_filing]
    found += [note.when for note in document.conditions]
    found += [item.when for item in document.documentation]
    found += [statement.when for statement in (*document.billing_guidance, *document.advisories)]
    return tuple(found)


def leaves_of(document: RuleDocument) -> tuple[Predicate, ...]:
    """Every different leaf test anywhere in a document."""
    leaves = (part for predicate in predicates_of(document) for part in walk(predicate) if not part.parts())
    return tuple(dict.fromkeys(leaves))


def numbering_limits(document: RuleDocument) -> frozenset[str]:
    """The limits whose visit numbers, or first visit, some condition of a document asks for."""
    named = {limit.limit.limit_id for limit in document.limits if limit.extensions}
    for predicate in predicates_of(document):
        for part in walk(predicate):
            if isinstance(part, VisitNumberTest | DaysSinceFirstVisitTest):
                named.add(part.limit_id)
    return frozenset(named)
