"""`/v1/overrides`: units granted on top of a limit."""

from __future__ import annotations

import hashlib
from datetime import date

import orjson

from services.coverage_api.errors import MissingHeader
from services.coverage_api.http import Answer, Call, Endpoint, JsonBody, Parameter, Reply, Roles
from services.coverage_api.routes.holds import KEY_HEADER, KEY_LENGTH_MAX
from services.coverage_api.routes.parts import REPLAY_HEADER, Json, Parts
from services.coverage_api.schemas.administration_answers import OverrideAnswerSchema
from services.coverage_api.schemas.fields import is_identifier
from services.coverage_api.schemas.holds import OverrideSchema
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.usecases.grant_override import grant_override
from services.coverage_api.usecases.revoke_override import revoke_override
from shared.domain.hold import Override
from shared.domain.hold_records import NewOverride, OverrideRow, RequestKey
from shared.domain.records import MemberRef

TAG = "Overrides"
ADMIN: Roles = ("admin",)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls about overrides."""
    return [_grant(parts), _revoke(parts)]


def _grant(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        granted = grant_override(parts.tools, call.audit, _grant_of(parts, call))
        if granted.earlier is None:
            return Answer(status=201, body=override_json(granted.grant, None))
        body = override_json(granted.earlier, granted.earlier.revoked_at)
        return Answer(status=201, body=body, headers=((REPLAY_HEADER, "true"),))

    return Endpoint(
        name="grantOverride",
        method="POST",
        path="/v1/overrides",
        roles=ADMIN,
        tag=TAG,
        summary="Grant units on top of a limit",
        description=(
            "The visits next in order have them at once. A repeat with the same key and body answers with "
            "the override that is there; without a key, what is sent twice is granted twice."
        ),
        handler=handle,
        body=JsonBody(
            read=Reader(OverrideSchema).read,
            bytes_max=parts.settings.single_body_bytes_max,
            shown=(OverrideSchema,),
        ),
        payer="body",
        parameters=(
            Parameter(
                name=KEY_HEADER,
                place="header",
                description="Names the request, so that it can be sent again when its answer was lost.",
                schema={"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX},
            ),
        ),
        replies={
            201: Reply(
                description="The override.",
                schema=OverrideAnswerSchema,
                headers={REPLAY_HEADER: "`true` if the request repeats an earlier one."},
            )
        },
        problems={409: "The key was used before with another payload."},
    )


def _revoke(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        row = revoke_override(parts.tools, call.audit, call.path["override_id"])
        return Answer(status=201, body=override_json(row, row.revoked_at))

    return Endpoint(
        name="revokeOverride",
        method="POST",
        path="/v1/overrides/{override_id:id}/revoke",
        roles=ADMIN,
        tag=TAG,
        summary="Take the units of an override back",
        description="One revoked before stays as it is.",
        handler=handle,
        replies={201: Reply(description="The revoked override.", schema=OverrideAnswerSchema)},
        problems={404: "There is no such override of a payer that the client sees."},
    )


def _grant_of(parts: Parts, call: Call) -> NewOverride:
    body, expires_on = call.body, call.body.get("expires_on")
    return NewOverride(
        override=Override(
            override_id=parts.tools.new_id("ovr"),
            limit_id=body["limit_id"],
            service_date=date.fromisoformat(body["service_date"]),
            quantity=body["quantity"],
            expires_on=date.fromisoformat(expires_on) if expires_on else None,
            visit_id=body.get("visit_id"),
        ),
        ref=MemberRef(payer_id=body["payer_id"], member_id=body["member_id"]),
        client_id=call.client.client_id,
        approver=body["approver"],
        reason=body["reason"],
        created_at=parts.tools.clock(),
        request=_request_key(call),
    )


def _request_key(call: Call) -> RequestKey | None:
    """What the client named its request, if it did. Raises MissingHeader for a name that is none."""
    key = call.request.headers.get(KEY_HEADER)
    if key is None:
        return None
    if not is_identifier(key, KEY_LENGTH_MAX):
        raise MissingHeader(f"{KEY_HEADER} must be 1 to {KEY_LENGTH_MAX} visible characters of your choice.")
    digest = hashlib.sha256(orjson.dumps(call.body, option=orjson.OPT_SORT_KEYS)).digest()
    return RequestKey(idempotency_key=key, payload_digest=digest)


def override_json(grant: NewOverride | OverrideRow, revoked_at: object) -> Json:
    """An override as the contract shows it."""
    override = grant.override
    return {
        "override_id": override.override_id,
        "payer_id": grant.ref.payer_id,
        "member_id": grant.ref.member_id,
        "limit_id": override.limit_id,
        "service_date": override.service_date,
        "quantity": override.quantity,
        "approver": grant.approver,
        "reason": grant.reason,
        "expires_on": override.expires_on,
        "visit_id": override.visit_id,
        "created_at": grant.created_at,
        "revoked_at": revoked_at,
    }
