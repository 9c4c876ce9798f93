"""A determination as the JSON object of the contract's section 6. Views in other formats read the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.accounting.codec import Json, cited_reason_to, cited_source_to
from shared.domain.determination import Determination, LimitStanding
from shared.domain.evaluation import Audience, BillingGuidance, Contact, CostSharing, Guidance, Source


def determination_body(determination: Determination, audience: Audience) -> Json:
    """The body of an answer, without `check_id` and `decided_at`.

    Dates are ISO 8601 calendar dates, counts whole units of the limit's measure. `audience` chooses
    whom to ask: an EHR is told the provider's contacts, a portal the member's.
    """
    said = determination.evaluation
    return {
        "decision": determination.decision,
        "reasons": [cited_reason_to(reason) for reason in determination.reasons],
        "overruled": [
            {"source": cited_source_to(lost.source), "decision": lost.decision, "reason": lost.reason}
            for lost in said.overruled
        ],
        "missing_inputs": list(said.missing_inputs),
        "conditions": list(said.conditions),
        "condition_texts": dict(said.condition_texts),
        "documentation": [
            {"code": item.code, "text": item.text, "required": item.required, "source": _source(item.source)}
            for item in said.documentation
        ],
        "prior_authorization": said.prior_authorization,
        "referral": said.referral,
        "cost_sharing": _cost_sharing(said.cost_sharing),
        "lines": [
            {
                "procedure_code": line.procedure_code,
                "decision": line.decision,
                "reasons": list(line.reason_codes),
                "source": _source(line.source),
            }
            for line in determination.lines
        ],
        "accumulators": [limit_standing_to(standing) for standing in determination.limits],
        "plan_id": determination.plan_id,
        "advisories": [
            {"code": item.code, "text": item.text, "source": _source(item.source)} for item in said.advisories
        ],
        "self_pay_estimate": _self_pay(determination),
        "hsa_fsa": _guidance(said.hsa_fsa),
        "appeal": _guidance(said.appeal),
        "billing_guidance": [_billing(item) for item in said.billing_guidance],
        "contacts": [_contact(contact) for contact in said.contacts_for(audience)],
        "decided_by": _source(said.source),
        "catalog_version": said.catalog_version,
        "disclaimer": said.disclaimer,
    }


def limit_standing_to(standing: LimitStanding) -> Json:
    """How a limit stands, as the contract shows an accumulator."""
    limit = standing.limit
    return {
        "limit_id": limit.limit_id,
        "label": limit.label,
        "plan_id": standing.key.plan_id,
        "measure": limit.measure,
        "pool": list(limit.pool),
        "period": _period(standing),
        "ordering": limit.ordering,
        "allowed": standing.allowed,
        "used": standing.used,
        "held": standing.held,
        "remaining": standing.remaining,
        "assumptions": list(limit.assumptions),
        "version": standing.version,
        "pending_events": standing.pending_events,
        "source": cited_source_to(standing.source),
    }


def _period(standing: LimitStanding) -> Json:
    start, end, subject = standing.period_start, standing.period_end, standing.key.period.subject
    shown: Json = {
        "basis": standing.key.period.basis,
        "start": start.isoformat() if start else None,
        "end": end.isoformat() if end else None,
    }
    if standing.limit.rolling_days is not None:
        shown["days"] = standing.limit.rolling_days
    return {**shown, "subject": subject} if subject else shown


def _source(source: Source | None) -> Json | None:
    return cited_source_to(source) if source else None


def _cost_sharing(sharing: CostSharing) -> Json:
    amounts: Mapping[str, Any] = {
        "copay_cents": sharing.copay_cents,
        "coinsurance_percent": sharing.coinsurance_percent,
        "deductible_applies": sharing.deductible_applies,
    }
    known = {name: value for name, value in amounts.items() if value is not None}
    return {"status": sharing.status, "note": sharing.note, **known, "source": _source(sharing.source)}


def _self_pay(determination: Determination) -> Json | None:
    estimate = determination.evaluation.self_pay_estimate
    if estimate is None:
        return None
    return {
        "low": estimate.low,
        "high": estimate.high,
        "currency": estimate.currency,
        "estimate": estimate.estimate,
        "as_of": estimate.as_of.isoformat() if estimate.as_of else None,
        "source": cited_source_to(estimate.source),
    }


def _guidance(guidance: Guidance | None) -> Json | None:
    if guidance is None:
        return None
    return {
        "status": guidance.status,
        "text": guidance.text,
        "steps": list(guidance.steps),
        "source": _source(guidance.source),
    }


def _billing(guidance: BillingGuidance) -> Json:
    return {"status": guidance.status, "text": guidance.text, "source": _source(guidance.source)}


def _contact(contact: Contact) -> Json:
    return {
        "audience": contact.audience,
        "name": contact.name,
        "note": contact.note,
        "phone": contact.phone,
        "source": _source(contact.source),
    }
