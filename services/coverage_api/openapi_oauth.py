"""What the OpenAPI document says of access tokens: how to get one, and what opens the calls."""

from __future__ import annotations

from typing import Any

from services.coverage_api.http import JSON_TYPE
from services.coverage_api.routes.oauth import ASSERTION_TYPE, FORM_TYPE, GRANT_TYPE, TOKEN_PATH

Json = dict[str, Any]

SCOPES = {
    "ehr": "The role `ehr`, over every payer the client was granted; `ehr:PAYER_ID` over that one.",
    "portal": "The same for the role `portal`.",
    "ops": "The same for the role `ops`.",
    "admin": "The same for the role `admin`.",
    "system/*.cruds": "Whatever the client has; `system/*.*` is the same.",
}

SECURITY_SCHEMES: dict[str, Json] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key that an operator made with `needlecap clients create`, or an access token.",
    },
    "token": {
        "type": "oauth2",
        "description": (
            "Client credentials with a signed assertion (private_key_jwt with RS384 or ES384, as SMART "
            "Backend Services has it). A token opens what a key of the client opens, for five minutes."
        ),
        "flows": {"clientCredentials": {"tokenUrl": TOKEN_PATH, "scopes": SCOPES}},
    },
}

_TEXT: Json = {"type": "string"}

#: Objects of the token endpoint, by the names they have in the document.
SCHEMAS: dict[str, Json] = {
    "AccessToken": {
        "description": "An access token, shown once.",
        "type": "object",
        "required": ["access_token", "token_type", "expires_in", "scope"],
        "properties": {
            "access_token": _TEXT,
            "token_type": {"const": "bearer"},
            "expires_in": {"type": "integer", "description": "Seconds."},
            "scope": {"type": "string", "description": "What was granted of what was asked for."},
        },
    },
    "TokenRefusal": {
        "description": "Why no access token is given (RFC 6749 section 5.2).",
        "type": "object",
        "required": ["error", "error_description"],
        "properties": {
            "error": {
                "enum": ["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"]
            },
            "error_description": _TEXT,
        },
    },
    "TokenRequest": {
        "description": "A request for an access token (RFC 7523).",
        "type": "object",
        "required": ["grant_type", "client_assertion_type", "client_assertion"],
        "properties": {
            "grant_type": {"const": GRANT_TYPE},
            "client_assertion_type": {"const": ASSERTION_TYPE},
            "client_assertion": {
                "type": "string",
                "description": (
                    "A JWT signed with a registered key: `iss` and `sub` the client's id, "
                    "`aud` this address, `exp` at most five minutes ahead, a new `jti`; `kid` in its header."
                ),
            },
            "scope": {
                "type": "string",
                "description": (
                    "Separated by spaces: the client's role (`ehr`) over all its payers, `ehr:PAYER_ID` over "
                    "one, `system/*.cruds` for whatever it has. Nothing is all that the client has."
                ),
            },
        },
    },
}


def token_operation(headers: Json) -> Json:
    """The operation of the token endpoint; `headers` are those of every answer."""

    def answer(description: str, schema: str, more: Json | None = None) -> Json:
        content = {JSON_TYPE: {"schema": _ref(schema)}}
        return {"description": description, "content": content, "headers": headers | (more or {})}

    authenticate = {"WWW-Authenticate": {"description": "How to authenticate.", "schema": _TEXT}}
    return {
        "operationId": "issueToken",
        "tags": ["Open calls"],
        "summary": "An access token for a signed assertion (OAuth 2.0 client credentials)",
        "security": [],
        "requestBody": {"required": True, "content": {FORM_TYPE: {"schema": _ref("TokenRequest")}}},
        "responses": {
            "200": answer("A token.", "AccessToken"),
            "400": answer(
                "The request is malformed, or asks for what the client does not have.", "TokenRefusal"
            ),
            "401": answer(
                "The client did not prove who it is (`invalid_client`).", "TokenRefusal", authenticate
            ),
        },
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
