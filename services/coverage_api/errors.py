"""What can go wrong at the HTTP edge, and the one table that turns every error into a problem.

Domain errors know nothing of HTTP; those below are about the request itself. `PROBLEM_TYPES` is
looked up along an error's class hierarchy, so a new domain error is answered like its parent until
it gets a line of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.accounting.catalog_changes import DocumentExists
from shared.accounting.codec import reason_to
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


class Backlogged(TooBusy):
    """Accepted events have waited too long to be applied, so no more are taken; send these again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """A kind of problem: `type` is /problems/<slug>. `retry_after_seconds` becomes a header."""

    slug: str
    title: str
    status: int
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
    "limit_exhausted": ProblemType(slug="limit_exhausted", title="The limit is exhausted", status=409),
    "not_covered": ProblemType(slug="not_covered", title="The service is not covered", status=409),
}

INTERNAL = ProblemType(slug="internal", title="Something failed here", status=500)

PROBLEM_TYPES: dict[type[NeedlecapError], ProblemType] = {
    Unauthenticated: ProblemType(slug="unauthenticated", title="No valid key", status=401),
    Forbidden: ProblemType(slug="forbidden", title="Not for this role", status=403),
    NotFound: ProblemType(slug="not_found", title="Not found", status=404),
    PayerNotFound: ProblemType(slug="payer_not_found", title="No such payer", status=404),
    MethodNotAllowed: ProblemType(slug="method_not_allowed", title="Method not allowed", status=405),
    MalformedBody: ProblemType(slug="malformed_json", title="Malformed JSON", status=400),
    MissingHeader: ProblemType(slug="missing_header", title="Missing header", status=400),
    UnsupportedMediaType: ProblemType(
        slug="unsupported_media_type", title="Unsupported media type", status=415
    ),
    BodyTooLarge: ProblemType(slug="body_too_large", title="Body too large", status=413),
    Invalid: ProblemType(slug="invalid_request", title="Invalid request", status=422),
    Conflict: ProblemType(slug="conflict", title="Conflict", status=409),
    EventConflict: ProblemType(slug="event_conflict", title="Event id already used", status=409),
    IdempotencyConflict: ProblemType(
        slug="idempotency_conflict", title="Idempotency key already used", status=409
    ),
    HoldPosted: ProblemType(slug="hold_posted", title="The hold is posted", status=409),
    DocumentExists: ProblemType(slug="document_exists", title="This version exists", status=409),
    CatalogConflict: ProblemType(slug="catalog_conflict", title="Contradicts the catalog", status=409),
    TooBusy: ProblemType(slug="too_busy", title="Too busy", status=429),
    Backlogged: ProblemType(slug="backlog", title="Too much waits to be applied", status=429),
    StoreUnavailable: ProblemType(
        slug="indeterminate",
        title="No answer can be given at the moment",
        status=503,
        retry_after_seconds=2,
    ),
}


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
        document["reasons"] = [reason_to(reason) for reason in error.reasons]
    return document


def retry_after(error: NeedlecapError) -> int | None:
    """After how many seconds it is worth trying again, where that is known."""
    if isinstance(error, TooBusy):
        return error.retry_after_seconds
    return problem_type(error).retry_after_seconds
