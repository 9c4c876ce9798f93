"""`/v1/status`: where the service stands, for those who run it."""

from __future__ import annotations

from services.coverage_api.http import Answer, Call, Endpoint, Reply
from services.coverage_api.routes.parts import Parts
from services.coverage_api.schemas.answers import StatusSchema
from services.coverage_api.usecases.read_status import read_status


def endpoints(parts: Parts) -> list[Endpoint]:
    """The call about the service's own state."""

    def handle(call: Call) -> Answer:
        return Answer(status=200, body=read_status(parts.tools, call.client))

    return [
        Endpoint(
            name="readStatus",
            method="GET",
            path="/v1/status",
            roles=("ops",),
            tag="Operations",
            summary="Counts of events, of what waits, and versions",
            handler=handle,
            replies={200: Reply(description="Where the service stands.", schema=StatusSchema)},
        )
    ]
