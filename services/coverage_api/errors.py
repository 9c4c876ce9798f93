"""What can go wrong at the HTTP edge, and the one table that turns every error into a problem.

Domain errors know nothing of HTTP; those below are about the request itself. `PROBLEM_TYPES` is
looked up along an error's class hierarchy, so a new domain error is answered like its parent until
it gets a line of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shared.accounting.catalog_changes import DocumentExists
from shared.accounting.codec import cited_reason_to
from shared.accounting.holds import HoldPosted, HoldRefused
from shared.domain.catalog import CatalogConflict
from shared.domain.errors import Conflict, Invalid, NeedlecapError, NotFound, StoreUnavailable

Json = dict[str, Any]


class Unauthenticated(NeedlecapError):
    """The request carries no key that opens anything."""


class Forbidden(NeedlecapError):
    """This client's role may not make this call."""


class PayerNotFound(NotFound):
    """There is no such payer for this client."""


class MethodNotAllowed(NeedlecapError):
    """This address does not answer that method."""


class MalformedBody(NeedlecapError):
    """The body is not well-formed JSON."""


class MissingHeader(NeedlecapError):
    """A header that this call needs is missing or malformed."""


class UnsupportedMediaType(NeedlecapError):
    """The body is of a type or encoding that this call does not read."""


class BodyTooLarge(NeedlecapError):
    """The body is larger than this call accepts."""


class EventConflict(Conflict):
    """This event id was used before with another payload."""


class IdempotencyConflict(Conflict):
    """This idempotency key was used before with another payload."""


class TooBusy(NeedlecapError):
    """As many of these calls as may be are being served; try again later."""

    def __init__(self, retry_after_seconds: int) -> None:
        """Say after how many whole seconds to try again."""
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class RateLimited(TooBusy):
    """The client calls more often than it may; try again later."""


class Backlogged(TooBusy):
    """Accepted events have waited too long to be applied, so no more are taken; send these again later."""


TokenError = Literal["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"]


class TokenRefused(NeedlecapError):
    """No access token is given. The token endpoint answers in the words of RFC 6749 section 5.2."""

    def __init__(self, error: TokenError, description: str) -> None:
        """Say why, in a word of the RFC and in a sentence that quotes nothing of the request."""
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """A kind of problem: `type` is /problems/<slug>. `retry_after_seconds` becomes a header.

    `means` says what happened and `remedy` what the caller can do: the page at that address.
    """

    slug: str
    title: str
    status: int
    means: str
    remedy: str
    retry_after_seconds: int | None = None

    def render(self, detail: str, request_id: str, errors: list[tuple[str, str]] | None = None) -> Json:
        """The RFC 9457 document of one occurrence; `errors` are (JSON pointer, message)."""
        document: Json = {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": detail,
            "request_id": request_id,
        }
        if errors is not None:
            document["errors"] = [{"pointer": pointer, "message": message} for pointer, message in errors]
        return document


#: Why a hold was refused, by the code of its refusal.
HOLD_REFUSALS: dict[str, ProblemType] = {
    "limit_exhausted": ProblemType(
        slug="limit_exhausted",
        title="The limit is exhausted",
        status=409,
        means="The units that were asked for do not fit beside what is used and held already.",
        remedy="Look at `reasons`. Release a hold that is not needed, or ask the payer for more.",
    ),
    "not_covered": ProblemType(
        slug="not_covered",
        title="The service is not covered",
        status=409,
        means="By the rules that run, the service is not covered, so nothing can be held for it.",
        remedy="Look at `reasons`: they name the document that decided. Correct the request if it is wrong.",
    ),
    "coverage_unknown": ProblemType(
        slug="coverage_unknown",
        title="It is not known whether the service is covered",
        status=409,
        means=(
            "The rules that run do not tell whether the service is covered: the member, a rule or a limit's "
            "period is not known, or the request leaves out what a rule asks for. So nothing can be held."
        ),
        remedy=(
            "Look at `reasons`. An eligibility check with the same content names in `missing_inputs` what to "
            "add; if that is nothing, ask the plan."
        ),
    ),
    "nothing_to_hold": ProblemType(
        slug="nothing_to_hold",
        title="No limit counts the service",
        status=409,
        means="The service is covered and no limit counts it, so there are no units to hold.",
        remedy="No hold is needed: report the visit when it took place.",
    ),
}

INTERNAL = ProblemType(
    slug="internal",
    title="Something failed here",
    status=500,
    means="A fault of ours. What became of the call is not known.",
    remedy="Send the call again: events and holds have their effect once. Give an operator `request_id`.",
)

PROBLEM_TYPES: dict[type[NeedlecapError], ProblemType] = {
    Unauthenticated: ProblemType(
        slug="unauthenticated",
        title="No valid key",
        status=401,
        means="The `Authorization` header is missing, or its key is unknown, revoked or expired.",
        remedy="Send `Authorization: Bearer KEY`; an operator makes keys with `needlecap clients create`.",
    ),
    Forbidden: ProblemType(
        slug="forbidden",
        title="Not for this role",
        status=403,
        means="The key is good, but its client's role may not make this call.",
        remedy="Use the key of a client with one of the roles that `/docs` names for the call.",
    ),
    NotFound: ProblemType(
        slug="not_found",
        title="Not found",
        status=404,
        means="There is nothing at this address, or nothing that this client may see.",
        remedy="Look at the address and the ids in it; ids of payers, plans and rules are lower case.",
    ),
    PayerNotFound: ProblemType(
        slug="payer_not_found",
        title="No such payer",
        status=404,
        means="There is no such payer, or this client was not granted it: the two look alike.",
        remedy="Look at `payer_id` (lower case), or ask an operator which payers the client was granted.",
    ),
    MethodNotAllowed: ProblemType(
        slug="method_not_allowed",
        title="Method not allowed",
        status=405,
        means="The address is right and the method is not.",
        remedy="Use a method that the `Allow` header names.",
    ),
    MalformedBody: ProblemType(
        slug="malformed_json",
        title="Malformed JSON",
        status=400,
        means="The body is not one JSON value in UTF-8, or names a field twice.",
        remedy="Send well-formed JSON. Nothing was stored.",
    ),
    MissingHeader: ProblemType(
        slug="missing_header",
        title="Header missing or malformed",
        status=400,
        means="A header that this call needs is not there, or is not well-formed.",
        remedy="Send the header that `detail` and `/docs` name. Nothing was stored.",
    ),
    UnsupportedMediaType: ProblemType(
        slug="unsupported_media_type",
        title="Unsupported media type",
        status=415,
        means="The `Content-Type` or `Content-Encoding` is one that this call does not read.",
        remedy="Send the type that `/docs` names, without compression. Nothing was stored.",
    ),
    BodyTooLarge: ProblemType(
        slug="body_too_large",
        title="Body too large",
        status=413,
        means="The body is larger than this call accepts.",
        remedy="Send less at once, or events as a stream to `/v1/visit-events/bulk`.",
    ),
    Invalid: ProblemType(
        slug="invalid_request",
        title="Invalid request",
        status=422,
        means="The JSON is well-formed, but fields are missing, unknown or have values that cannot be.",
        remedy="Correct what `errors` points at. Nothing was stored.",
    ),
    Conflict: ProblemType(
        slug="conflict",
        title="Conflict",
        status=409,
        means="The request contradicts what is stored.",
        remedy="Read what is stored, then decide again.",
    ),
    EventConflict: ProblemType(
        slug="event_conflict",
        title="Event id already used",
        status=409,
        means="An event with this `event_id` was accepted before, and it said something else.",
        remedy="Give a new event an id of its own; to correct a visit, send `visit.corrected`.",
    ),
    IdempotencyConflict: ProblemType(
        slug="idempotency_conflict",
        title="Idempotency key already used",
        status=409,
        means="The same `Idempotency-Key` was sent before with another payload.",
        remedy="Use a new key for a new request, the same key only to repeat one.",
    ),
    HoldPosted: ProblemType(
        slug="hold_posted",
        title="The hold is posted",
        status=409,
        means="The visit that the hold was for is reported, so the hold cannot be released.",
        remedy="Nothing is left to release. To take the visit back, send `visit.voided`.",
    ),
    DocumentExists: ProblemType(
        slug="document_exists",
        title="This version exists",
        status=409,
        means="This version of the rule document is stored, and versions never change.",
        remedy="Send the change as the next version.",
    ),
    CatalogConflict: ProblemType(
        slug="catalog_conflict",
        title="Contradicts the catalog",
        status=409,
        means="The rule document does not fit what the catalog holds.",
        remedy="Look at `detail`, correct the document and send it again.",
    ),
    TooBusy: ProblemType(
        slug="too_busy",
        title="Too busy",
        status=429,
        means="As many of these calls as may be are being served.",
        remedy="Try again after the seconds in `Retry-After`.",
    ),
    RateLimited: ProblemType(
        slug="rate_limited",
        title="Too many calls",
        status=429,
        means="The client has made as many calls this second as it may, with all its keys together.",
        remedy="Try again after the seconds in `Retry-After`; `RateLimit-Policy` says how many a second.",
    ),
    Backlogged: ProblemType(
        slug="backlog",
        title="Too much waits to be applied",
        status=429,
        means="Accepted events have waited too long to be applied, so no more are taken.",
        remedy="Send it again after the seconds in `Retry-After`. An operator should look at the worker.",
    ),
    StoreUnavailable: ProblemType(
        slug="indeterminate",
        title="No answer can be given at the moment",
        status=503,
        means="The database cannot answer. Whether the call was done is not known; it is never a guess.",
        remedy="Send it again after the seconds in `Retry-After`: events and holds have their effect once.",
        retry_after_seconds=2,
    ),
}


#: What Flask itself refuses: unknown addresses, wrong methods, broken requests.
HTTP_ERRORS: dict[int, type[NeedlecapError]] = {
    400: MalformedBody,
    404: NotFound,
    405: MethodNotAllowed,
    413: BodyTooLarge,
}


def problem_kinds() -> list[ProblemType]:
    """Every kind of problem that there is, by slug."""
    return sorted([*PROBLEM_TYPES.values(), *HOLD_REFUSALS.values(), INTERNAL], key=lambda kind: kind.slug)


def problem_type(error: NeedlecapError) -> ProblemType:
    """The kind of problem an error is, from the nearest class that the table names."""
    if isinstance(error, HoldRefused):
        return HOLD_REFUSALS[error.code]
    return next((PROBLEM_TYPES[cls] for cls in type(error).__mro__ if cls in PROBLEM_TYPES), INTERNAL)


def problem(error: NeedlecapError, request_id: str) -> Json:
    """The problem document of an error, for an answer or for one item of a batch."""
    faults = error.errors if isinstance(error, Invalid) else None
    document = problem_type(error).render(str(error), request_id, faults)
    if isinstance(error, HoldRefused):
        document["reasons"] = [cited_reason_to(reason) for reason in error.reasons]
    return document


def retry_after(error: NeedlecapError) -> int | None:
    """After how many seconds it is worth trying again, where that is known."""
    if isinstance(error, TooBusy):
        return error.retry_after_seconds
    return problem_type(error).retry_after_seconds
