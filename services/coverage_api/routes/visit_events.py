"""`/v1/visit-events`: what clients report, and the receipts they get."""

from __future__ import annotations

from services.coverage_api.errors import EventConflict
from services.coverage_api.http import (
    Answer,
    Call,
    Endpoint,
    JsonBody,
    Parameter,
    Reply,
    Roles,
    SharedQuestion,
)
from services.coverage_api.known_keys import KeyChanged
from services.coverage_api.routes.parts import REPLAY_HEADER, Json, Parts, judge_items, refused
from services.coverage_api.schemas.answers import EventBatchResultsSchema, ReceiptSchema
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.visit_event import (
    VisitEventBatchSchema,
    VisitReportSchema,
    VisitVoidSchema,
)
from services.coverage_api.schemas.visit_event_reading import read_visit_event, report_of
from services.coverage_api.usecases.await_outcome import await_outcome
from services.coverage_api.usecases.find_receipt import find_receipt
from services.coverage_api.usecases.record_visit_events import Acceptance
from services.coverage_api.waiting import preferred_wait
from shared.domain.errors import Invalid, NeedlecapError, NotFound
from shared.domain.receipt import Receipt

TAG = "Visit events"
EHR: Roles = ("ehr",)
_REPLAYED = {REPLAY_HEADER: "`true` if this event had been accepted before."}
_CONFLICT = {409: "The event id was used before with another payload."}
#: As WSGI names it.
_PREFER = "HTTP_PREFER"
BACKLOG = {
    429: "Accepted events have waited too long to be applied (`backlog`): nothing was looked at, try later."
}


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls about visit events."""
    return [_record(parts), _record_batch(parts), _find(parts)]


def _record(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer | SharedQuestion:
        parts.backlog.require_room()
        report = report_of(call.audit, call.body, call.caller)
        seconds = preferred_wait(call.request.environ.get(_PREFER))
        if seconds is None:
            return SharedQuestion(gathering=parts.reports, question=report, to_answer=_receipt)
        (accepted,) = parts.reports.ask([report])
        if isinstance(accepted, EventConflict | KeyChanged):
            raise accepted
        with parts.waiting_room.place() as may_wait:
            patience = seconds if may_wait else 0
            receipt = await_outcome(
                parts.tools, report.payer_id, report.client_id, accepted.receipt, patience
            )
        return Answer(
            status=200 if receipt.outcome is not None else 202,
            body=receipt_json(receipt),
            headers=(*_replay_headers(accepted), ("Preference-Applied", f"wait={patience}")),
        )

    applied = {**_REPLAYED, "Preference-Applied": "The wait that was granted, if one was asked for."}
    return Endpoint(
        name="recordVisitEvent",
        method="POST",
        path="/v1/visit-events",
        roles=EHR,
        tag=TAG,
        summary="Report a visit, a correction or a void",
        description=(
            "Accepted means durable. A repeat with the same payload answers with the receipt as it stands. "
            "With `Prefer: wait=N` the answer is 200 with the outcome if it is there within N seconds. "
            "A 429 says nothing of the event: a repeat of one that was accepted may get it too."
        ),
        handler=handle,
        body=JsonBody(
            read=read_visit_event,
            bytes_max=parts.settings.single_body_bytes_max,
            shown=(VisitReportSchema, VisitVoidSchema),
        ),
        payer="body",
        confirms=True,
        parameters=(
            Parameter(
                name="Prefer",
                place="header",
                description="`wait=N`: wait up to N seconds, at most ten, for the outcome.",
            ),
        ),
        replies={
            200: Reply(description="The receipt with its outcome.", schema=ReceiptSchema, headers=applied),
            202: Reply(description="The receipt.", schema=ReceiptSchema, headers=applied),
        },
        problems={**_CONFLICT, **BACKLOG},
    )


def _receipt(acceptance: Acceptance) -> Answer:
    body = receipt_json(acceptance.receipt)
    return Answer(status=202, body=body, headers=_replay_headers(acceptance))


def _replay_headers(acceptance: Acceptance) -> tuple[tuple[str, str], ...]:
    return ((REPLAY_HEADER, "true"),) if acceptance.replayed else ()


def _record_batch(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        parts.backlog.require_room()
        judged = judge_items(parts, call, call.body["events"], read_visit_event)
        reports = [report_of(call.audit, event) for event in judged if isinstance(event, dict)]
        accepted = iter(parts.reports.ask(reports))
        results = [_result(next(accepted) if isinstance(event, dict) else event, call) for event in judged]
        return Answer(status=200, body={"results": results})

    return Endpoint(
        name="recordVisitEvents",
        method="POST",
        path="/v1/visit-events/batch",
        roles=EHR,
        tag=TAG,
        summary="Report up to 1,000 visit events at once",
        description="Each event is accepted or refused on its own, in the order of the events.",
        handler=handle,
        body=JsonBody(
            read=Reader(VisitEventBatchSchema).read,
            bytes_max=parts.settings.batch_body_bytes_max,
            shown=(VisitEventBatchSchema,),
            items_in="events",
            items_shown=(VisitReportSchema, VisitVoidSchema),
        ),
        replies={200: Reply(description="One result for each event.", schema=EventBatchResultsSchema)},
        problems=BACKLOG,
    )


def _find(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        sender = call.request.args.get("client")
        if call.client.role == "ops" and sender is None:
            raise Invalid([("/client", "Name the client that sent the event.")])
        if call.client.role != "ops" and sender not in {None, call.client.name}:
            raise NotFound
        if sender is not None and not sender.isprintable():
            raise NotFound
        found = find_receipt(parts.tools, call.client, call.path["event_id"], sender)
        call.audit.concerns(found.payer_id, found.member_id)
        return Answer(status=200, body=receipt_json(found.receipt))

    return Endpoint(
        name="findVisitEvent",
        method="GET",
        path="/v1/visit-events/{event_id:text}",
        roles=("ehr", "ops"),
        tag=TAG,
        summary="The receipt of an event",
        description="For the client that sent it; `ops` names that client.",
        handler=handle,
        parameters=(
            Parameter(name="client", place="query", description="The sending client's name (for `ops`)."),
        ),
        replies={200: Reply(description="The receipt as it stands.", schema=ReceiptSchema)},
        problems={404: "There is no such event of that client.", 422: "`ops` must name the client."},
    )


def _result(accepted: Acceptance | KeyChanged | NeedlecapError, call: Call) -> Json:
    assert not isinstance(accepted, KeyChanged), "the key of a batch was looked up before"
    if isinstance(accepted, NeedlecapError):
        return refused(accepted, call)
    result: Json = {"status": 202, "receipt": receipt_json(accepted.receipt)}
    return {**result, "replayed": True} if accepted.replayed else result


def receipt_json(receipt: Receipt) -> Json:
    """A receipt as the contract shows it."""
    return {
        "event_id": receipt.event_id,
        "status": receipt.status,
        "received_at": receipt.received_at,
        "outcome": receipt.outcome,
    }
