"""What the rules say of a visit before anyone counts: whether it qualifies, and if not, why not."""

from __future__ import annotations

from datetime import date

from shared.domain.enrollment import EnrollmentSpan, Plan, span_on
from shared.domain.evaluation import EnrollmentStanding, Evaluation, Reason, Situation
from shared.domain.history import History, Rules
from shared.domain.record import record
from shared.domain.same_day import SameDay
from shared.domain.service import Service
from shared.domain.visit import Disposition, Visit, VisitKey

VISIT_NOT_KNOWN = Reason(
    code="visit_not_known",
    text="no visit with this visit_id has been recorded yet; what was said of it takes effect when one is",
)
VOIDED = Reason(code="voided", text="the visit was voided")
SELF_PAY = Reason(code="self_pay", text="the patient pays for this visit, so the plan does not count it")
NOT_COMPLETED = Reason(code="not_completed", text="the visit was not completed, so nothing is counted")
NOT_DRY_NEEDLING = Reason(code="not_dry_needling", text="no line of the visit is dry needling")
RULE_UNKNOWN = Reason(code="rule_unknown", text="no rule that can decide is known for this visit")
NO_LIMIT = Reason(code="no_limit_applies", text="covered, and no limit counts it")
PERIOD_UNKNOWN = Reason(code="period_unknown", text="what names the limit's benefit period is not known")
DUPLICATE_REJECTED = Reason(
    code="duplicate_rejected", text="an operator found this to repeat an earlier visit", carc="18"
)


#: A service date, a procedure code and an NPI: visits of a member that share one may be the same visit.
DuplicateKey = tuple[date, str, str]


@record(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A visit, the plan it falls to, and what the rules said of it.

    `disposition` is None while it qualifies to be counted. `evaluation` is None where the rules were
    not asked (voided, self-pay, not completed, not known).
    """

    visit: Visit
    span: EnrollmentSpan | None = None
    plan: Plan | None = None
    situation: Situation | None = None
    evaluation: Evaluation | None = None
    disposition: Disposition | None = None
    reasons: tuple[Reason, ...] = ()


def situation_of(
    history: History,
    service: Service,
    received_on: date | None = None,
    same_day_codes: tuple[str, ...] = (),
    recent_service_dates: tuple[date, ...] = (),
) -> Situation:
    """The situation of a service of this member: who covers them on its date, and as what."""
    span = span_on(history.spans, service.service_date)
    plan = history.plans.get(span.plan_id) if span else None
    return Situation(
        payer_id=history.payer_id,
        plan=plan,
        enrollment=enrollment_on(history.spans, service.service_date),
        attributes=span.attributes if span else (),
        service=service,
        recent_service_dates=recent_service_dates,
        same_day_codes=same_day_codes,
        received_on=received_on,
    )


def enrollment_on(spans: tuple[EnrollmentSpan, ...], day: date) -> EnrollmentStanding:
    """Where `day` stands to a member's spans; a gap between two spans is after the earlier one."""
    if not spans:
        return "unknown_member"
    if span_on(spans, day):
        return "enrolled"
    return "before_coverage" if day < min(span.start for span in spans) else "after_coverage"


def qualify(history: History, rules: Rules, visit: Visit, same_day: SameDay) -> Candidate:
    """Ask the rules about a visit as if it were the first: numbers come with its turn."""
    standing = _standing(visit)
    if standing is not None:
        return Candidate(visit=visit, disposition=standing[0], reasons=(standing[1],))
    service = visit.content.service  # type: ignore[union-attr]  # a known visit has content
    codes = same_day.codes_before(service.service_date, visit.arrival)
    situation = situation_of(history, service, visit.received_on, codes)
    evaluation = rules.evaluate(situation)
    verdict = settle(evaluation)
    return Candidate(
        visit=visit,
        span=span_on(history.spans, service.service_date),
        plan=situation.plan,
        situation=situation,
        evaluation=evaluation,
        disposition=verdict[0] if verdict else None,
        reasons=verdict[1] if verdict else (),
    )


def _standing(visit: Visit) -> tuple[Disposition, Reason] | None:
    """What the visit's own events settle before any rule is asked."""
    if not visit.known or visit.content is None:
        return "not_countable", VISIT_NOT_KNOWN
    if visit.voided:
        return "voided", VOIDED
    if visit.content.self_pay:
        return "not_countable", SELF_PAY
    if visit.content.visit_status != "completed":
        return "not_countable", NOT_COMPLETED
    return None


def settle(evaluation: Evaluation) -> tuple[Disposition, tuple[Reason, ...]] | None:
    """The disposition an evaluation settles by itself; None when the visit claims units of a limit."""
    if evaluation.claims:
        return None
    if not any(line.needling for line in evaluation.lines):
        return "not_countable", (NOT_DRY_NEEDLING, *evaluation.reasons)
    if evaluation.decision == "not_covered":
        return "not_covered", evaluation.reasons
    if evaluation.decision == "unknown_verify_with_plan":
        enrolled = all(reason.code != "not_enrolled" for reason in evaluation.reasons)
        return "not_countable", (RULE_UNKNOWN, *evaluation.reasons) if enrolled else evaluation.reasons
    return "not_countable", (NO_LIMIT,)


def duplicate_keys(candidate: Candidate) -> tuple[DuplicateKey, ...]:
    """(date, code, NPI) of each line, in order; none where no NPI is stated."""
    content = candidate.visit.content
    if content is None or content.service.provider.npi is None:
        return ()
    service, npi = content.service, content.service.provider.npi
    return tuple((service.service_date, line.procedure_code, npi) for line in service.lines)


def possible_duplicate(visit: Visit, earlier: VisitKey) -> Reason:
    """Why a visit waits for an operator. The earlier one is named to the client whose own it is, only."""
    own = visit.key.client_id == earlier.client_id
    which = f"visit {earlier.visit_id}, which arrived earlier" if own else "a visit that arrived earlier"
    text = f"same member, date, code and provider as {which}; an operator decides"
    return Reason(code="possible_duplicate", text=text, carc="18")
