"""What the rules say of one service: values only, the source of every statement beside it.

A determination is this with the counts added (contract section 6). Nothing here looks at a clock.
"""

from __future__ import annotations

from dataclasses import field
from datetime import date
from typing import Literal

from shared.domain.enrollment import Plan
from shared.domain.limit import Limit
from shared.domain.record import record
from shared.domain.service import Service

Decision = Literal["covered", "covered_with_conditions", "not_covered", "unknown_verify_with_plan"]
Requirement = Literal["required", "not_required", "not_applicable", "unknown"]
Authority = Literal["law", "government_program", "plan_document", "payer_policy", "general_article"]
EnrollmentStanding = Literal["enrolled", "unknown_member", "before_coverage", "after_coverage"]
Audience = Literal["member", "provider", "any"]

#: Highest first (contract section 1). The last never decides.
AUTHORITIES: tuple[Authority, ...] = (
    "law",
    "government_program",
    "plan_document",
    "payer_policy",
    "general_article",
)
#: Worst first: the top decision is the worst of the lines that govern it (contract section 5).
DECISIONS: tuple[Decision, ...] = (
    "not_covered",
    "unknown_verify_with_plan",
    "covered_with_conditions",
    "covered",
)
COVERING: frozenset[str] = frozenset({"covered", "covered_with_conditions"})
REQUIREMENTS: tuple[Requirement, ...] = ("required", "not_required", "not_applicable", "unknown")


def worst(*decisions: Decision) -> Decision:
    """The worst of one or more decisions, in the order of contract section 5."""
    return min(decisions, key=DECISIONS.index)


@record(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything an evaluation is a function of, besides the catalog. Hashable.

    `plan` is the plan the member is in on the service date. `visit_numbers` says, per limit id, the
    1-based number this visit would have in the limit's period (absent: the first).
    `first_visit_dates` says, per limit id, when the first counted visit of that period was (absent:
    this one). `recent_service_dates` are the member's other needling dates, for advice only, and
    `same_day_codes` the codes of the visits of the service date that were there before this one, each
    once and sorted. `received_on` is
    given for a reported visit, whose filing may be late; a check has none.
    """

    payer_id: str
    payer_name: str | None = None
    plan: Plan | None
    enrollment: EnrollmentStanding
    attributes: tuple[str, ...] = ()
    service: Service
    visit_numbers: tuple[tuple[str, int], ...] = ()
    first_visit_dates: tuple[tuple[str, date], ...] = ()
    recent_service_dates: tuple[date, ...] = ()
    same_day_codes: tuple[str, ...] = ()
    received_on: date | None = None


@record(frozen=True, slots=True, kw_only=True)
class Source:
    """Which version of which rule document says something, with what authority, and where it is written.

    `citation` names the text it was taken from, `title` says what that is, `url` where it can be read;
    None is not known.
    """

    document_id: str
    version: int
    authority: Authority
    citation: str
    effective_from: date | None = None
    title: str | None = None
    url: str | None = None


def address_in(citation: str) -> str | None:
    """The address that a citation begins with, if it does."""
    first = citation.split(maxsplit=1)[0].rstrip(";,") if citation.strip() else ""
    return first if first.startswith(("https://", "http://")) else None


@record(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why: our code, a short text of our own, the anticipated CARC and RARC where one fits, the source."""

    code: str
    text: str
    carc: str | None = None
    rarc: str | None = None
    source: Source | None = None


@record(frozen=True, slots=True, kw_only=True)
class Overruled:
    """A rule document that speaks of this service and lost: what it says, and why it does not decide."""

    source: Source
    decision: Decision
    reason: str


@record(frozen=True, slots=True, kw_only=True)
class CostSharing:
    """What the member pays when it is covered. Amounts in whole cents and percent; None is not stated."""

    status: Literal["stated", "none", "unknown"] = "unknown"
    note: str | None = None
    copay_cents: int | None = None
    coinsurance_percent: int | None = None
    deductible_applies: bool | None = None
    source: Source | None = None


@record(frozen=True, slots=True, kw_only=True)
class DocumentationItem:
    """Something the chart should hold and the request did not say it does. `required` by a deciding rule."""

    code: str
    text: str
    required: bool
    source: Source | None = None


@record(frozen=True, slots=True, kw_only=True)
class Advisory:
    """Worth knowing; never changes a decision."""

    code: str
    text: str
    source: Source | None = None


@record(frozen=True, slots=True, kw_only=True)
class SelfPayEstimate:
    """What a session may cost without coverage, in whole units of the currency: an estimate, not a price."""

    low: int
    high: int
    currency: str
    as_of: date | None
    source: Source
    estimate: bool = True


@record(frozen=True, slots=True, kw_only=True)
class Contact:
    """Whom to ask. `audience` says who: the member, a provider, or any caller."""

    audience: Audience
    name: str
    note: str
    phone: str | None = None
    source: Source | None = None


@record(frozen=True, slots=True, kw_only=True)
class BillingGuidance:
    """How the payer wants it billed: `stated`, or `unknown`, and then it should be asked."""

    status: Literal["stated", "unknown"]
    text: str
    source: Source | None = None


@record(frozen=True, slots=True, kw_only=True)
class Guidance:
    """General guidance in our own words, with where it comes from. Not a rule."""

    status: str
    text: str
    steps: tuple[str, ...] = ()
    source: Source | None = None


@record(frozen=True, slots=True, kw_only=True)
class LimitClaim:
    """What the covered lines of this visit would add to one limit, before anyone counts.

    `quantity` is in the limit's measure; `lines` are the 0-based lines that match; `source` is the
    document that sets the limit.
    """

    limit: Limit
    quantity: int
    lines: tuple[int, ...]
    source: Source


@record(frozen=True, slots=True, kw_only=True)
class LineEvaluation:
    """One line: what the rules say of it. `needling` tells whether its code is dry needling.

    `limit_ids` are the limits it feeds, if covered; `source` the document that decides it. `governs`
    tells whether the visit's decision is the worst of this line and its like (contract section 5).
    """

    procedure_code: str
    needling: bool
    decision: Decision
    reasons: tuple[Reason, ...] = ()
    limit_ids: tuple[str, ...] = ()
    source: Source | None = None
    governs: bool = True

    @property
    def reason_codes(self) -> tuple[str, ...]:
        """The codes of its reasons, in order."""
        return tuple(reason.code for reason in self.reasons)


@record(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the rules say of one service, before its limits are counted.

    `decision` is the worst of the lines that govern it. `source` is the document that decides, None
    where none does. `condition_texts` gives each condition its text. `claims` are what the covered
    lines would add to limits; `matching_limits` the same as if every line were covered, for display.
    Whether a limit has room is the caller's to say. `uses_visit_number` is True if a rule that may
    apply asks for a visit's number or the date of the first (`numbered_by` names the limits), so that a
    caller may ask again with them.
    """

    decision: Decision
    catalog_version: int
    reasons: tuple[Reason, ...] = ()
    overruled: tuple[Overruled, ...] = ()
    missing_inputs: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    condition_texts: tuple[tuple[str, str], ...] = ()
    documentation: tuple[DocumentationItem, ...] = ()
    prior_authorization: Requirement = "unknown"
    referral: Requirement = "unknown"
    cost_sharing: CostSharing = field(default_factory=CostSharing)
    lines: tuple[LineEvaluation, ...] = ()
    claims: tuple[LimitClaim, ...] = ()
    matching_limits: tuple[LimitClaim, ...] = ()
    uses_visit_number: bool = False
    numbered_by: tuple[str, ...] = ()
    advisories: tuple[Advisory, ...] = ()
    self_pay_estimate: SelfPayEstimate | None = None
    hsa_fsa: Guidance | None = None
    appeal: Guidance | None = None
    contacts: tuple[Contact, ...] = ()
    billing_guidance: tuple[BillingGuidance, ...] = ()
    source: Source | None = None
    disclaimer: str = ""

    def contacts_for(self, audience: Audience) -> tuple[Contact, ...]:
        """The contacts meant for an audience, and those meant for anyone."""
        return tuple(c for c in self.contacts if c.audience in {audience, "any"})
