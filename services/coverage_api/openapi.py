"""The OpenAPI document: made from the same declarations that the calls are answered by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from services.coverage_api.dispatch import PURPOSE_HEADER
from services.coverage_api.http import (
    HTML_TYPE,
    JSON_TYPE,
    PROBLEM_TYPE,
    Endpoint,
    JsonBody,
    Parameter,
    Reply,
)
from services.coverage_api.openapi_oauth import SCHEMAS, SECURITY_SCHEMES, token_operation
from services.coverage_api.routes.examples import EXAMPLES
from services.coverage_api.routes.oauth import SMART_PATH, TOKEN_PATH
from services.coverage_api.schemas.answers import ProblemSchema
from shared.domain.audit import PURPOSES, USUAL_PURPOSE

Json = dict[str, Any]

PATH_KINDS: Mapping[str, Json] = {
    "slug": {"type": "string", "pattern": r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"},
    "id": {"type": "string", "pattern": r"^[A-Za-z0-9_-]{1,64}$"},
    "text": {"type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}$"},
    "number": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}

DESCRIPTION = """\
Is this member's next dry needling service covered, and why; and how many services of this plan year
are used?

Every `/v1` call needs `Authorization: Bearer KEY`: a key, or an access token from `/oauth/token`, which
opens what the client's keys open. What can be wrong is looked at in this order: the key (401), how often
the client calls (429), the client's role (403), the payer (404, alike for one that is not there and one
that was not granted), the body (400, 413, 415, 422). Problems are RFC 9457 documents. When the database
cannot answer, every call is a 503 of type `/problems/indeterminate` within five seconds: never a guess.

The examples are about `SAMPLE-DOCS`, a member of `security-health-plan` whom nothing else is about. To try
them, put the plan as `example`, the enrollment, and the rule document as version 1 of `example` first.
"""

_PROBLEMS: Mapping[int, str] = {
    400: "The body is not well-formed JSON, or a header is missing or malformed.",
    401: "No key that opens anything.",
    403: "Not for this client's role.",
    404: "There is no such payer for this client.",
    409: "The request contradicts what is stored.",
    413: "The body is larger than this call accepts.",
    415: "The body is of a type or encoding that this call does not read.",
    422: "The request has faults, each named by a JSON pointer.",
    429: "The client calls more often than it may (`rate_limited`); try again later.",
    500: "Something failed here; the log tells more under the request id.",
    503: "No answer can be given, and it is not known whether the call was done: send it again unchanged.",
}
_PROBLEM_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "How to authenticate."},
    429: {"Retry-After": "Seconds after which to try again."},
    503: {"Retry-After": "Seconds after which to try again."},
}

_PURPOSE = Parameter(
    name=PURPOSE_HEADER,
    place="header",
    description=(
        "Why the call is made, a code of HL7's PurposeOfUse, for the audit trail. Without it: "
        + ", ".join(f"`{purpose}` for `{role}`" for role, purpose in USUAL_PURPOSE.items())
        + "."
    ),
    schema={"type": "string", "enum": list(PURPOSES)},
)

#: On every answer to a known client.
_RATE_HEADERS = {
    "RateLimit-Policy": 'How often the client may call: `"default";q=1000;w=1` is 1,000 calls in a second.',
    "RateLimit": 'What is left of it: `"default";r=999;t=1` is 999 calls within the next second.',
}

#: What a line of a stream may be; the single call has the same.
_LINE_KINDS = ("VisitReport", "VisitVoid")

#: Where the page's style sheet is: for browsers, not for readers of the page.
STYLE_PATH = "/docs/docs.css"

#: Calls that need no key: their answers are described here, since no schema reads them.
_OPEN: Mapping[str, tuple[str, Mapping[int, str], str]] = {
    "/": ("The way to the documentation", {302: "`Location` is `/docs`."}, HTML_TYPE),
    "/healthz": ("Whether the process answers", {200: "It does."}, JSON_TYPE),
    "/readyz": (
        "Whether answers can be given",
        {200: "They can; `degraded` names what is missing.", 503: "They cannot."},
        JSON_TYPE,
    ),
    "/metrics": ("Metrics for Prometheus", {200: "All metrics."}, "text/plain"),
    "/openapi.json": ("This document", {200: "OpenAPI 3.1."}, JSON_TYPE),
    "/docs": ("This document as a page", {200: "A page that needs no other host."}, HTML_TYPE),
    STYLE_PATH: ("The look of the page", {200: "A style sheet."}, "text/css"),
    SMART_PATH: ("Where and how access tokens are given", {200: "SMART's metadata."}, JSON_TYPE),
}


#: The address that a problem's `type` is.
PROBLEM_PATH = "/problems/{slug:id}"


def openapi_document(endpoints: Sequence[Endpoint], version: str) -> Json:
    """The OpenAPI 3.1 document of these endpoints and the open calls."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title="Needlecap",
        version=version,
        openapi_version="3.1.0",
        info={"description": DESCRIPTION},
        plugins=[plugin],
        security=[{"key": []}, {"token": []}],
    )
    for name, scheme in SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for name, described in SCHEMAS.items():
        spec.components.schema(name, described)
    spec.components.schema("Problem", schema=ProblemSchema)
    for endpoint in endpoints:
        spec.path(path=public_path(endpoint.path), operations={endpoint.method.lower(): _operation(endpoint)})
    for path, (summary, replies, media_type) in _OPEN.items():
        spec.path(path=path, operations={"get": _open_operation(path, summary, replies, media_type)})
    spec.path(path=public_path(PROBLEM_PATH), operations={"get": _problem_page_operation()})
    spec.path(path=TOKEN_PATH, operations={"post": _token_operation()})
    document: Json = spec.to_dict()
    for key, name in plugin.converter.refs.items():  # type: ignore[union-attr]  # set when the spec was made
        text = (key[0].__doc__ or "").strip()
        document["components"]["schemas"][name].setdefault("description", " ".join(text.split()))
    return document


def public_path(path: str) -> str:
    """An endpoint's path, `{name:kind}`, as OpenAPI writes it."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def _operation(endpoint: Endpoint) -> Json:
    operation: Json = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": f"{endpoint.description}\n\nRoles: {', '.join(sorted(endpoint.roles))}.".strip(),
        "parameters": [
            *_path_parameters(endpoint.path),
            *map(_parameter, (*endpoint.parameters, _PURPOSE)),
        ],
        "responses": {str(status): _reply(reply) for status, reply in endpoint.replies.items()},
    }
    operation["responses"] |= {
        str(status): _problem(status, text) for status, text in sorted(_problems_of(endpoint).items())
    }
    for status, response in operation["responses"].items():
        # Whoever could not show who it is has no limit of its own.
        response["headers"] |= {} if status == "401" else _headers(_RATE_HEADERS)
    if endpoint.body is not None:
        operation["requestBody"] = _content(JSON_TYPE, _body(endpoint.body), EXAMPLES[endpoint.name])
    if endpoint.streams is not None:
        operation["requestBody"] = _content(endpoint.streams, _lines(), EXAMPLES[endpoint.name])
    return operation


def _content(media_type: str, schema: Any, example: Any) -> Json:
    return {"required": True, "content": {media_type: {"schema": schema, "example": example}}}


def _problems_of(endpoint: Endpoint) -> dict[int, str]:
    statuses = {400, 401, 403, 429, 500, 503}
    if endpoint.body is not None or endpoint.streams is not None:
        statuses |= {413, 415, 422}
    if endpoint.payer is not None:
        statuses.add(404)
    found = {status: _PROBLEMS[status] for status in statuses} | dict(endpoint.problems)
    if 429 in endpoint.problems:
        found[429] += " Or the client calls more often than it may (`rate_limited`)."
    return found


def _problem(status: int, text: str) -> Json:
    return {
        "description": text,
        "content": {PROBLEM_TYPE: {"schema": "Problem"}},
        "headers": _headers(_PROBLEM_HEADERS.get(status, {})),
    }


def _reply(reply: Reply) -> Json:
    described: Json = {"description": reply.description, "headers": _headers(reply.headers)}
    if reply.schema is not None:
        described["content"] = {JSON_TYPE: {"schema": reply.schema}}
        described["content"] |= {kind: {"schema": {"type": "string"}} for kind in reply.also}
    return described


def _headers(names: Mapping[str, str]) -> Json:
    every = {"X-Request-ID": "The request's id: the caller's own if it sent a well-formed one."}
    return {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in (every | dict(names)).items()
    }


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": dict(PATH_KINDS[kind])}
        for name, kind in re.findall(r"\{(\w+):(\w+)\}", path)
    ]


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


def _body(body: JsonBody) -> Any:
    if body.items_in is None:
        return body.shown[0] if len(body.shown) == 1 else {"oneOf": list(body.shown)}
    # An item that none of its schemas describes does not fail the batch: it gets a problem of its own.
    return {
        "allOf": [
            body.shown[0],
            {
                "type": "object",
                # Without its type the schemas of its items would not be resolved.
                "properties": {body.items_in: {"type": "array", "items": {"anyOf": [*body.items_shown, {}]}}},
            },
        ]
    }


def _lines() -> Json:
    return {
        "type": "string",
        "description": "One JSON object per line, each as in a single call.",
        "x-line-schema": {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in _LINE_KINDS]},
    }


def _open_operation(path: str, summary: str, replies: Mapping[int, str], media_type: str) -> Json:
    schema = {"type": "object"} if media_type == JSON_TYPE else {"type": "string"}
    return {
        "operationId": "open" + re.sub(r"\W+", "_", path),
        "tags": ["Open calls"],
        "summary": summary,
        "security": [],
        "responses": {
            str(status): {
                "description": text,
                "content": {media_type: {"schema": schema}},
                "headers": _headers({}),
            }
            for status, text in replies.items()
        },
    }


def _token_operation() -> Json:
    operation = token_operation(_headers({}))
    operation["responses"] |= {str(status): _problem(status, _PROBLEMS[status]) for status in (429, 500, 503)}
    return operation


def _problem_page_operation() -> Json:
    operation = _open_operation(
        public_path(PROBLEM_PATH),
        "What a type of problem means",
        {200: "What it means and what to do: a page for browsers, JSON for everybody else."},
        JSON_TYPE,
    )
    operation["parameters"] = _path_parameters(PROBLEM_PATH)
    operation["responses"]["200"]["content"][HTML_TYPE] = {"schema": {"type": "string"}}
    operation["responses"]["404"] = _problem(404, "There is no such type of problem.")
    return operation
