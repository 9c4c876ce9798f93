"""`/v1/holds`: units promised to scheduled visits."""

from __future__ import annotations

import hashlib

import orjson

from services.coverage_api.errors import MissingHeader
from services.coverage_api.http import Answer, Call, Endpoint, JsonBody, Parameter, Reply, Roles
from services.coverage_api.routes.parts import REPLAY_HEADER, Json, Parts
from services.coverage_api.schemas.answers import HoldAnswerSchema
from services.coverage_api.schemas.fields import is_identifier
from services.coverage_api.schemas.holds import HoldSchema
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.service import said
from services.coverage_api.usecases.find_hold import find_hold
from services.coverage_api.usecases.place_hold import place_hold
from services.coverage_api.usecases.release_hold import release_hold
from shared.domain.hold_records import HoldRow

TAG = "Holds"
EHR: Roles = ("ehr",)
KEY_HEADER = "Idempotency-Key"
KEY_LENGTH_MAX = 200
_NOT_FOUND = {404: "This client placed no such hold."}
_HOLD = Reader(HoldSchema)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls about holds."""
    return [_place(parts), _find(parts), _release(parts)]


def read_hold(value: object) -> Json:
    """A request for a hold with its defaults, in one form. Raises Invalid."""
    return said(_HOLD.read(value))


def _place(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        key = call.request.headers.get(KEY_HEADER, "")
        if not is_identifier(key, KEY_LENGTH_MAX):
            raise MissingHeader(
                f"{KEY_HEADER} must be 1 to {KEY_LENGTH_MAX} visible characters of your choice."
            )
        digest = hashlib.sha256(orjson.dumps(call.body, option=orjson.OPT_SORT_KEYS)).digest()
        placed = place_hold(parts.tools, call.audit, key, call.body, digest)
        headers = ((REPLAY_HEADER, "true"),) if placed.replayed else ()
        return Answer(status=201, body=placed.answer, headers=headers)

    return Endpoint(
        name="placeHold",
        method="POST",
        path="/v1/holds",
        roles=EHR,
        tag=TAG,
        summary="Have units promised to a scheduled visit",
        description=(
            "Decided after the member's pending events. A repeat with the same key and body answers as "
            "the first did."
        ),
        handler=handle,
        body=JsonBody(read=read_hold, bytes_max=parts.settings.single_body_bytes_max, shown=(HoldSchema,)),
        payer="body",
        parameters=(
            Parameter(
                name=KEY_HEADER,
                place="header",
                description="Names the request, so that a repeat of it is known.",
                required=True,
                schema={"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX},
            ),
        ),
        replies={
            201: Reply(
                description="The hold.",
                schema=HoldAnswerSchema,
                headers={REPLAY_HEADER: "`true` if the request repeats an earlier one."},
            )
        },
        problems={
            409: (
                "No room (`limit_exhausted`), not covered (`not_covered`), not known whether it is "
                "(`coverage_unknown`), no limit counts it (`nothing_to_hold`), or the key was used before "
                "for something else."
            )
        },
    )


def _find(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        row = find_hold(parts.tools, call.client, call.path["hold_id"])
        call.audit.concerns(row.ref.payer_id, row.ref.member_id)
        return Answer(status=200, body=hold_json(row))

    return Endpoint(
        name="findHold",
        method="GET",
        path="/v1/holds/{hold_id:id}",
        roles=EHR,
        tag=TAG,
        summary="A hold that this client placed",
        description="`accumulators` are as they were when it was placed; `state` is as it is now.",
        handler=handle,
        replies={200: Reply(description="The hold.", schema=HoldAnswerSchema)},
        problems=_NOT_FOUND,
    )


def _release(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        row = release_hold(parts.tools, call.audit, call.path["hold_id"])
        return Answer(status=200, body=hold_json(row))

    return Endpoint(
        name="releaseHold",
        method="POST",
        path="/v1/holds/{hold_id:id}/release",
        roles=EHR,
        tag=TAG,
        summary="Take a promise of units back",
        description="A hold that ended before stays as it ended.",
        handler=handle,
        replies={200: Reply(description="The hold.", schema=HoldAnswerSchema)},
        problems={**_NOT_FOUND, 409: "A visit has the hold's units: void or correct the visit."},
    )


def hold_json(row: HoldRow) -> Json:
    """A hold as it was answered, in its present state."""
    return {**row.answer, "state": row.state}
