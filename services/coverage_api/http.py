"""What an endpoint is: declared once, from which routing, the checks and the OpenAPI document follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from flask import Request, Response
from marshmallow import Schema

from services.coverage_api.auditing import CallAudit
from services.coverage_api.gathering import Gathering
from services.coverage_api.plain_flask import ReadyResponse
from shared.domain.client import Client, CredentialRecord, Role
from shared.domain.record import record

JSON_TYPE = "application/json"
NDJSON_TYPE = "application/x-ndjson"
PROBLEM_TYPE = "application/problem+json"
HTML_TYPE = "text/html"

Roles = tuple[Role, ...]

#: Where the id of the payer stands that is checked before the body: in a field `payer_id` of the body,
#: or in the path; with "path_or_new" a client that sees every payer may name one that is not there yet.
PayerPlace = Literal["body", "path", "path_or_new"]


@record(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that passed the checks its endpoint asks for.

    `body` is what the endpoint's reader made of the JSON body. `path` holds the address's parameters.
    `audit` is what the audit trail is told of it. `caller` is the client's key if it has still to be
    confirmed, by an endpoint that does.
    """

    client: Client
    request_id: str
    audit: CallAudit
    body: Any
    path: Mapping[str, str]
    request: Request
    caller: CredentialRecord | None = None


@record(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back: a JSON value, or bytes that are of `media_type` already."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str = JSON_TYPE


@record(frozen=True, slots=True, kw_only=True)
class SharedQuestion:
    """A handler's question, put together with other calls', and how what it came to becomes an answer."""

    gathering: Gathering[Any, Any]
    question: Any
    to_answer: Callable[[Any], Answer]

    def wait(self) -> Answer:
        """The answer, for which this thread waits. Raises what `settle` and the gathering's `ask` raise."""
        (result,) = self.gathering.ask([self.question])
        return self.settle(result)

    def settle(self, result: Any) -> Answer:
        """The answer to a question that came to `result`. Raises that if it is an exception."""
        if isinstance(result, Exception):
            raise result
        return self.to_answer(result)


Handler = Callable[[Call], Answer | SharedQuestion]


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonBody:
    """A JSON body of at most `bytes_max` bytes.

    `read` validates its value, raising Invalid. `shown` are the schemas that describe it in the
    OpenAPI document, of which one applies; with `items_in`, a field of the first of them holds items
    of the kinds `items_shown`, each judged on its own.
    """

    read: Callable[[object], Any]
    bytes_max: int
    shown: tuple[type[Schema], ...]
    items_in: str | None = None
    items_shown: tuple[type[Schema], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the query or a header, for the OpenAPI document."""

    name: str
    place: Literal["query", "header"]
    description: str
    required: bool = False
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer an endpoint gives, for the OpenAPI document. `headers` are names with descriptions.

    `also` are media types, besides JSON, in which it is given to those who ask for them.
    """

    description: str
    schema: type[Schema] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call of the API. Every one needs a key; `roles` may make it.

    `path` is in OpenAPI's form; a parameter written `{name:text}` may hold any character. `streams`
    is the media type of a body that the handler reads by itself. One that `confirms` looks the caller's
    key up in its own transaction, and raises KeyChanged (`known_keys.py`). Its `handler` answers, or asks
    something that is answered with other calls' questions. `problems` are the statuses,
    beyond those that follow from the rest, with which it may refuse.
    """

    name: str
    method: Literal["GET", "POST", "PUT"]
    path: str
    roles: Roles
    tag: str
    summary: str
    handler: Handler
    replies: Mapping[int, Reply]
    description: str = ""
    body: JsonBody | None = None
    streams: str | None = None
    payer: PayerPlace | None = None
    confirms: bool = False
    parameters: tuple[Parameter, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)


def to_json(value: Any) -> bytes:
    """A JSON value as UTF-8; datetimes in UTC end with Z."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def respond(answer: Answer, media_type: str | None = None) -> Response:
    """The HTTP response of an answer, of the answer's own media type unless told otherwise."""
    body = answer.body if isinstance(answer.body, bytes) else to_json(answer.body)
    response = ReadyResponse(body, answer.status, media_type or answer.media_type)
    for name, value in answer.headers:
        response.headers[name] = value
    return response
