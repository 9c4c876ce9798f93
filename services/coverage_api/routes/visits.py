"""`/v1/visits`: what a member's count is made of."""

from __future__ import annotations

from datetime import date

from services.coverage_api.http import Answer, Call, Endpoint, JsonBody, Reply
from services.coverage_api.paging import read_cursor, read_day, write_cursor
from services.coverage_api.routes.parts import Json, Parts
from services.coverage_api.schemas.answers import VisitsAnswerSchema
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.searches import VisitSearchSchema
from services.coverage_api.usecases.search_visits import VisitSearch, search_visits
from shared.domain.hold import OpeningBalance
from shared.domain.records import MemberRef
from shared.domain.visit_listing import VisitPlace, VisitRow


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls about visits."""

    def handle(call: Call) -> Answer:
        page = search_visits(parts.tools, _wanted(call.body))
        body: Json = {
            "visits": [visit_json(row) for row in page.visits],
            "next_cursor": _cursor(page.next_after) if page.next_after else None,
        }
        if page.opening_balances:
            body["opening_balances"] = [balance_json(balance) for balance in page.opening_balances]
        return Answer(status=200, body=body)

    return [
        Endpoint(
            name="searchVisits",
            method="POST",
            path="/v1/visits/search",
            roles=("portal", "admin"),
            tag="Visits",
            summary="A member's visits, with the units each of them moved, and why",
            handler=handle,
            body=JsonBody(
                read=Reader(VisitSearchSchema).read,
                bytes_max=parts.settings.single_body_bytes_max,
                shown=(VisitSearchSchema,),
            ),
            payer="body",
            replies={200: Reply(description="A page of visits, by service date.", schema=VisitsAnswerSchema)},
        )
    ]


def _wanted(body: Json) -> VisitSearch:
    start, end, cursor = body.get("start"), body.get("end"), body.get("cursor")
    return VisitSearch(
        ref=MemberRef(payer_id=body["payer_id"], member_id=body["member_id"]),
        start=date.fromisoformat(start) if start else None,
        end=date.fromisoformat(end) if end else None,
        after=_place(cursor) if cursor else None,
    )


def _cursor(place: VisitPlace) -> str:
    return write_cursor([place.service_date.isoformat(), place.arrival, place.client_id, place.visit_id])


def _place(cursor: str) -> VisitPlace:
    day, arrival, client_id, visit_id = read_cursor(cursor, (str, int, str, str))
    return VisitPlace(
        service_date=read_day(day), arrival=int(arrival), client_id=str(client_id), visit_id=str(visit_id)
    )


def visit_json(row: VisitRow) -> Json:
    """A visit with what became of it."""
    content = row.content
    return {
        "visit_id": row.place.visit_id,
        "client": row.client_name,
        "service_date": row.place.service_date,
        "lines": content["lines"],
        "visit_status": content.get("visit_status", "completed"),
        "self_pay": content.get("self_pay", False),
        "hold_id": content.get("hold_id"),
        "plan_id": row.plan_id,
        "disposition": row.disposition,
        "reasons": row.outcome["reasons"],
        "accumulators": row.outcome["postings"],
        "binding": row.outcome.get("binding"),
        "override_ids": list(row.override_ids),
        "posted_hold_id": row.posted_hold_id,
        "events": [
            {"event_id": event_id, "type": kind, "received_at": at} for event_id, kind, at in row.events
        ],
    }


def balance_json(balance: OpeningBalance) -> Json:
    """Units used elsewhere, and where that is known from."""
    return {
        "plan_id": balance.plan_id,
        "limit_id": balance.limit_id,
        "service_date": balance.service_date,
        "quantity": balance.quantity,
        "source": balance.source,
        "sequence": balance.sequence,
    }
