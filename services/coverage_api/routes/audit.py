"""`/v1/audit`: who looked at a member."""

from __future__ import annotations

from datetime import UTC, datetime

from services.coverage_api.http import Answer, Call, Endpoint, JsonBody, Reply
from services.coverage_api.paging import malformed_cursor, read_cursor, write_cursor
from services.coverage_api.routes.parts import Json, Parts
from services.coverage_api.schemas.administration_answers import AuditAnswerSchema
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.searches import AuditSearchSchema
from services.coverage_api.usecases.search_audit import AuditSearch, search_audit
from shared.domain.audit import TrailPlace, trail_json
from shared.domain.records import MemberRef


def endpoints(parts: Parts) -> list[Endpoint]:
    """The call about the audit trail."""

    def handle(call: Call) -> Answer:
        page = search_audit(parts.tools, parts.settings.environment.hash_key, _wanted(call.body))
        following = _cursor(page.next_after) if page.next_after else None
        return Answer(
            status=200, body={"entries": [trail_json(line) for line in page.lines], "next_cursor": following}
        )

    return [
        Endpoint(
            name="searchAudit",
            method="POST",
            path="/v1/audit/search",
            roles=("admin",),
            tag="Audit",
            summary="Who called for something of a member, or sent events about the member",
            description=(
                "By time, in `[start, end)`, under every id that the payer has for the person. What was "
                "refused before it was known whom it was about is not among it; this call is. An accepted "
                "event's `status` is 202, also where it was waited for: the line is stored with it, before "
                "anybody waits."
            ),
            handler=handle,
            body=JsonBody(
                read=Reader(AuditSearchSchema).read,
                bytes_max=parts.settings.single_body_bytes_max,
                shown=(AuditSearchSchema,),
            ),
            payer="body",
            replies={200: Reply(description="A page of the member's trail.", schema=AuditAnswerSchema)},
        )
    ]


def _wanted(body: Json) -> AuditSearch:
    cursor = body.get("cursor")
    return AuditSearch(
        ref=MemberRef(payer_id=body["payer_id"], member_id=body["member_id"]),
        start=body.get("start"),
        end=body.get("end"),
        after=_place(cursor) if cursor else None,
    )


def _cursor(place: TrailPlace) -> str:
    return write_cursor([place.at.isoformat(), place.kind, place.number])


def _place(cursor: str) -> TrailPlace:
    at, kind, number = read_cursor(cursor, (str, str, int))
    try:
        moment = datetime.fromisoformat(str(at)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise malformed_cursor() from error
    if kind not in {"call", "visit_event"}:
        raise malformed_cursor()
    return TrailPlace(at=moment, kind="call" if kind == "call" else "visit_event", number=int(number))
