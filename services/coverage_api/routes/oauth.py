"""`/oauth/token` and `/.well-known/smart-configuration`: OAuth 2.0 client credentials with a signature.

SMART Backend Services (private_key_jwt, RFC 7523). What is refused is answered as RFC 6749 section 5.2
has it, not as a problem document, since that is what OAuth libraries read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

from flask import Request, Response, request

from services.coverage_api.assertions import prove, read_claimed, refused
from services.coverage_api.bodies import read_body
from services.coverage_api.dispatch import admit
from services.coverage_api.errors import BodyTooLarge, MalformedBody, TokenRefused, TooBusy
from services.coverage_api.http import Answer, respond, to_json
from services.coverage_api.jwks_fetch import JwksUnavailable
from services.coverage_api.jwks_source import JwksSource
from services.coverage_api.ports import Tools
from services.coverage_api.rate_limits import RateLimiter
from services.coverage_api.scopes import SUPPORTED, grant_scopes
from services.coverage_api.this_call import this_request
from services.coverage_api.usecases.issue_token import Entitled, issue_token
from services.coverage_api.waiting import WaitingRoom
from shared.adapters.jwks import ALGORITHMS

TOKEN_PATH = "/oauth/token"  # noqa: S105 - an address
SMART_PATH = "/.well-known/smart-configuration"

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 32 * 1024
FIELDS_MAX = 20
GRANT_TYPE = "client_credentials"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDesk:
    """What access tokens are issued with. `public_url` is where callers reach the service.

    `room` bounds how many callers, unknown as they are, may keep it busy at once.
    """

    tools: Tools
    limiter: RateLimiter
    keys: JwksSource
    public_url: str
    hash_key: bytes = field(repr=False)
    random_bytes: Callable[[int], bytes]
    room: WaitingRoom

    @property
    def endpoint(self) -> str:
        """The address of the token endpoint: the audience of every assertion."""
        return f"{self.public_url}{TOKEN_PATH}"


def token_view(desk: TokenDesk) -> Callable[[], Response]:
    """Gives an access token for a client assertion."""

    def view() -> Response:
        with desk.room.place() as may_ask:
            if not may_ask:
                raise TooBusy(RETRY_SECONDS)
            try:
                return _issue(desk, _form(request))
            except TokenRefused as refusal:
                return _refusal(refusal)

    return view


def smart_view(desk: TokenDesk) -> Callable[[], Response]:
    """Says where tokens are given and how to ask for one."""
    body = to_json(
        {
            "token_endpoint": desk.endpoint,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "grant_types_supported": [GRANT_TYPE],
            "scopes_supported": list(SUPPORTED),
            "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        }
    )

    def view() -> Response:
        return respond(Answer(status=200, body=body, headers=(("Cache-Control", "public, max-age=300"),)))

    return view


def _issue(desk: TokenDesk, form: dict[str, str]) -> Response:
    if form.get("grant_type") != GRANT_TYPE:
        raise TokenRefused("unsupported_grant_type", f"`grant_type` must be {GRANT_TYPE}.")
    if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
        raise TokenRefused("invalid_request", f"A `client_assertion` of type {ASSERTION_TYPE} is needed.")
    claimed = read_claimed(form["client_assertion"])
    if form.get("client_id", claimed.client_id) != claimed.client_id:
        raise refused("`client_id` and the assertion name different clients.")
    with desk.tools.store.transaction(()) as tx:
        known = tx.clients.signing(claimed.client_id)
    try:
        found = desk.keys.find(known[1], claimed.key_id, claimed.jku) if known else None
    except JwksUnavailable as error:
        raise refused(str(error)) from error
    if known is None or found is None:
        raise refused("There is no such client, or it has no key of this id (`kid`) that can be used here.")
    client, _ = known
    jwks_id, key = found
    proven = prove(claimed, key, audience=desk.endpoint, now=desk.tools.clock())
    admit(desk.limiter, client, this_request())
    grant = grant_scopes(client, form.get("scope"))
    entitled = Entitled(
        client_id=client.client_id,
        jwks_id=jwks_id,
        payers=grant.payers,
        jti=proven.jti,
        assertion_ends_at=proven.ends_at,
    )
    issued = issue_token(desk.tools, desk.hash_key, desk.random_bytes, entitled)
    body = {
        "access_token": issued.token,
        "token_type": "bearer",
        "expires_in": issued.seconds,
        "scope": grant.scope,
    }
    return respond(Answer(status=200, body=body, headers=(("Pragma", "no-cache"),)))


def _form(asked: Request) -> dict[str, str]:
    """The fields of the request's body. Raises TokenRefused (`invalid_request`)."""
    if asked.mimetype != FORM_TYPE:
        raise TokenRefused("invalid_request", f"The body must be {FORM_TYPE}.")
    try:
        text = read_body(asked, FORM_BYTES_MAX).decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except BodyTooLarge as error:
        raise TokenRefused("invalid_request", "The body is too large.") from error
    except (MalformedBody, ValueError) as error:
        raise TokenRefused("invalid_request", "The body is no well-formed form.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise TokenRefused("invalid_request", "A field is there twice.")
    return fields


def _refusal(refusal: TokenRefused) -> Response:
    body = {"error": refusal.error, "error_description": refusal.description}
    if refusal.error != "invalid_client":
        return respond(Answer(status=HTTPStatus.BAD_REQUEST, body=body))
    headers = (("WWW-Authenticate", 'Bearer realm="needlecap"'),)
    return respond(Answer(status=HTTPStatus.UNAUTHORIZED, body=body, headers=headers))
