"""Services, visit contents and outcomes as JSON objects: the contract's field names, plain values.

The objects read here were validated at the edge before they were stored, so a fault is a bug and
raises KeyError, TypeError or ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from shared.domain.accumulator import AccumulatorKey
from shared.domain.benefit_period import UNBOUNDED_START, BenefitPeriod, rolling_window
from shared.domain.evaluation import Reason, Source
from shared.domain.history import HoldOutcome, Posting, VisitOutcome
from shared.domain.inbox import PendingEvent
from shared.domain.service import Authorization, Clinical, Provider, Service, ServiceLine
from shared.domain.visit import VisitContent, VisitEvent

Json = dict[str, Any]


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text is not None else None


def _words(value: list[str] | None) -> tuple[str, ...] | None:
    return tuple(value) if value is not None else None


def provider_from(fields: Mapping[str, Any] | None) -> Provider:
    """A provider; absent fields are "not said"."""
    if not fields:
        return Provider()
    return Provider(
        npi=fields.get("npi"), type=fields.get("type"), credentials=tuple(fields.get("credentials") or ())
    )


def _clinical_from(fields: Mapping[str, Any] | None) -> Clinical:
    if not fields:
        return Clinical()
    return Clinical(
        onset_on=_day(fields.get("onset_on")),
        improving=fields.get("improving"),
        purpose=fields.get("purpose"),
        related_to=_words(fields.get("related_to")),
        documented=_words(fields.get("documented")),
    )


def _authorization_from(fields: Mapping[str, Any] | None) -> Authorization | None:
    if not fields:
        return None
    return Authorization(
        number=fields["number"], start=_day(fields.get("start")), end=_day(fields.get("end"))
    )


def _line_from(fields: Mapping[str, Any]) -> ServiceLine:
    return ServiceLine(
        procedure_code=fields["procedure_code"],
        quantity=fields.get("quantity", 1),
        modifiers=tuple(fields.get("modifiers") or ()),
        diagnosis_codes=tuple(fields.get("diagnosis_codes") or ()),
        muscles=fields.get("muscles"),
    )


def service_from(fields: Mapping[str, Any]) -> Service:
    """The service that a check, a hold or a visit event states."""
    return Service(
        service_date=date.fromisoformat(fields["service_date"]),
        lines=tuple(_line_from(line) for line in fields["lines"]),
        provider=provider_from(fields.get("provider")),
        state=fields.get("state"),
        place_of_service=fields.get("place_of_service"),
        network=fields.get("network"),
        clinical=_clinical_from(fields.get("clinical")),
        authorization=_authorization_from(fields.get("authorization")),
        injury_id=fields.get("injury_id"),
        billing_provider=provider_from(fields.get("billing_provider")),
    )


def content_from(fields: Mapping[str, Any]) -> VisitContent:
    """What a `visit.recorded` or `visit.corrected` says."""
    return VisitContent(
        member_id=fields["member_id"],
        service=service_from(fields),
        self_pay=fields.get("self_pay", False),
        visit_status=fields.get("visit_status", "completed"),
        hold_id=fields.get("hold_id"),
    )


def event_from(pending: PendingEvent) -> VisitEvent:
    """A pending event as its visit takes it."""
    return VisitEvent(
        arrival=pending.arrival,
        client_id=pending.key.client_id,
        event_id=pending.event_id,
        type=pending.type,
        payer_id=pending.payer_id,
        visit_id=pending.key.visit_id,
        received_on=pending.received_on,
        content=content_from(pending.content) if pending.content is not None else None,
    )


def source_to(source: Source) -> Json:
    """A source as the contract's determination shows it."""
    return {
        "document_id": source.document_id,
        "version": source.version,
        "authority": source.authority,
        "citation": source.citation,
        "effective_from": source.effective_from.isoformat() if source.effective_from else None,
    }


def cited_source_to(source: Source) -> Json:
    """A source with what it is and where it can be read, as answers to people show it."""
    return {**source_to(source), "title": source.title, "url": source.url}


def cited_reason_to(reason: Reason) -> Json:
    """A reason whose source says what it is and where it can be read."""
    return {**reason_to(reason), "source": cited_source_to(reason.source) if reason.source else None}


def reason_to(reason: Reason) -> Json:
    """A reason as the contract's determination shows it, and as it is kept with visits and receipts."""
    return {
        "code": reason.code,
        "text": reason.text,
        "carc": reason.carc,
        "rarc": reason.rarc,
        "source": source_to(reason.source) if reason.source else None,
    }


def period_to(period: BenefitPeriod) -> Json:
    """A period's identity; `subject` only where the basis has one."""
    fields = {"basis": period.basis, "start": period.start.isoformat(), "end": period.end.isoformat()}
    return {**fields, "subject": period.subject} if period.subject else fields


def period_from(fields: Mapping[str, Any]) -> BenefitPeriod:
    """The inverse of `period_to`."""
    return BenefitPeriod(
        basis=fields["basis"],
        start=date.fromisoformat(fields["start"]),
        end=date.fromisoformat(fields["end"]),
        subject=fields.get("subject", ""),
    )


def shown_period(period: BenefitPeriod, on: date | None = None, rolling_days: int | None = None) -> Json:
    """A period as the contract shows it: open ends are null, a rolling one is the window ending with `on`."""
    if rolling_days is not None and on is not None:
        start, end = rolling_window(rolling_days, on)
        return {"basis": period.basis, "start": start.isoformat(), "end": end.isoformat()}
    fields = period_to(period)
    if period.start == UNBOUNDED_START:
        fields |= {"start": None, "end": None}
    return fields


def key_to(key: AccumulatorKey) -> Json:
    """The name of an accumulator."""
    return {"plan_id": key.plan_id, "limit_id": key.limit_id, "period": period_to(key.period)}


def key_from(fields: Mapping[str, Any]) -> AccumulatorKey:
    """The inverse of `key_to`."""
    return AccumulatorKey(
        plan_id=fields["plan_id"], limit_id=fields["limit_id"], period=period_from(fields["period"])
    )


def posting_to(posting: Posting) -> Json:
    """A posting with its accumulator."""
    return {
        **key_to(posting.key),
        "on": posting.on.isoformat(),
        "units": posting.units,
        "granted": posting.granted,
        "allowed": posting.allowed,
        "carried": posting.carried,
    }


def posting_from(fields: Mapping[str, Any]) -> Posting:
    """The inverse of `posting_to`."""
    return Posting(
        key=key_from(fields),
        on=date.fromisoformat(fields["on"]),
        units=fields["units"],
        granted=fields["granted"],
        allowed=fields["allowed"],
        carried=fields["carried"],
    )


def visit_outcome_to(outcome: VisitOutcome) -> Json:
    """A visit's outcome as it is stored beside the visit."""
    return {
        "reasons": [reason_to(reason) for reason in outcome.reasons],
        "postings": [posting_to(posting) for posting in outcome.postings],
        "claims": [{**key_to(claimed.key), "allowed": claimed.allowed} for claimed in outcome.claims],
        "binding": key_to(outcome.binding) if outcome.binding else None,
    }


def hold_outcome_to(outcome: HoldOutcome) -> Json:
    """A hold's outcome as it is stored beside the hold; the state has its own column."""
    key = outcome.posted_by
    return {
        "postings": [posting_to(posting) for posting in outcome.postings],
        "posted_by": {"client_id": key.client_id, "visit_id": key.visit_id} if key else None,
    }
