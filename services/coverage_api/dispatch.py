"""The way of every call: key, rate, role, payer, body, handler; each check in the contract's order.

Once it is known who calls, the audit trail is told of the call before it is answered, however it ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Request, Response
from werkzeug.exceptions import HTTPException

from services.coverage_api.arrivals import CLIENT_VARIABLE
from services.coverage_api.auditing import Auditor, CallAudit
from services.coverage_api.bodies import parse_json, read_body, require_type
from services.coverage_api.deadline import BudgetedStore
from services.coverage_api.errors import HTTP_ERRORS, INTERNAL, MissingHeader, RateLimited, problem_type
from services.coverage_api.http import JSON_TYPE, Answer, Call, Endpoint, JsonBody, SharedQuestion, respond
from services.coverage_api.known_keys import KeyChanged
from services.coverage_api.later import LaterAnswers
from services.coverage_api.plain_flask import PlainRequest
from services.coverage_api.rate_limits import WINDOW_SECONDS, RateLimiter
from services.coverage_api.security import Doorkeeper
from services.coverage_api.this_call import Notes, this_request
from services.coverage_api.way_back import way_back_of
from shared.domain.audit import PURPOSES
from shared.domain.client import Client, CredentialRecord
from shared.domain.errors import NeedlecapError, StoreUnavailable

View = Callable[..., Response]

#: In which a client says what it calls for.
PURPOSE_HEADER = "X-Purpose-Of-Use"

#: Headers as WSGI names them (PEP 3333): werkzeug makes these names anew for each look.
_AUTHORIZATION = "HTTP_AUTHORIZATION"
_PURPOSE = "HTTP_" + PURPOSE_HEADER.upper().replace("-", "_")

#: Not audited: nothing was done or shown, and a row for each would cost more than the call was refused for.
_UNAUDITED = frozenset({429, 503})


def view_of(
    endpoint: Endpoint,
    doorkeeper: Doorkeeper,
    limiter: RateLimiter,
    auditor: Auditor,
    store: BudgetedStore,
    later: LaterAnswers,
) -> View:
    """The Flask view of an endpoint. What it refuses it raises; the app turns that into a problem.

    A call whose handler asks something is answered by `later`, if the server has a way for it and the key is
    already known; else its thread waits.
    """
    way = _Way(endpoint, doorkeeper, limiter, auditor, store, later)

    def view(**path: str) -> Response:
        return way.go(this_request(), path)

    view.__name__ = endpoint.name
    return view


@dataclass(frozen=True, slots=True)
class _Way:
    """The way of an endpoint's calls."""

    endpoint: Endpoint
    doorkeeper: Doorkeeper
    limiter: RateLimiter
    auditor: Auditor
    store: BudgetedStore
    later: LaterAnswers

    def go(self, request: PlainRequest, path: Mapping[str, str]) -> Response:
        """The answer to a call, or NOT_YET. A key that is known is confirmed by the endpoint itself."""
        caller = None
        if self.endpoint.confirms:
            caller = self.doorkeeper.recall(request.environ.get(_AUTHORIZATION))
        if caller is not None:
            try:
                return self._answered(request, caller.client, caller, path)
            except KeyChanged:
                _forget_caller()
        return self._looked_up(request, path)

    def _looked_up(self, request: PlainRequest, path: Mapping[str, str]) -> Response:
        """The answer to a call whose key is looked up first."""
        client = self.doorkeeper.identify(request.environ.get(_AUTHORIZATION))
        return self._answered(request, client, None, path)

    def _answered(
        self, request: PlainRequest, client: Client, caller: CredentialRecord | None, path: Mapping[str, str]
    ) -> Response:
        """The answer to a known client, or NOT_YET. A recalled key is confirmed before any refusal."""
        audit = None
        try:
            call = admit(self.limiter, client, request)
            audit = self.auditor.begin(client, self.endpoint.name, call.request_id)
            answer = _answer(request, self.endpoint, self.doorkeeper, client, caller, audit, path)
            if isinstance(answer, SharedQuestion):
                way_back = way_back_of(request.environ)
                if caller is not None and way_back is not None:
                    respond_to = partial(self._settled, request, caller, audit, path, answer)
                    return self.later.ask(way_back, answer.gathering, answer.question, respond_to)
                answer = answer.wait()
        except KeyChanged:
            raise
        except Exception as error:
            _begin_anew(self.endpoint, self.store)
            self._refuse(caller, audit, error)
            raise
        _begin_anew(self.endpoint, self.store)
        self.auditor.answered(audit, answer.status)
        return respond(answer)

    def _settled(
        self,
        request: PlainRequest,
        caller: CredentialRecord,
        audit: CallAudit,
        path: Mapping[str, str],
        asked: SharedQuestion,
        result: Any,
    ) -> Response:
        """The answer to a call whose question came to `result`; in whichever thread, its own may be gone."""
        try:
            answer = self._settled_or_refused(caller, audit, asked, result)
        except KeyChanged:
            _forget_caller()
            return self._looked_up(request, path)
        self.auditor.answered(audit, answer.status)
        return respond(answer)

    def _settled_or_refused(
        self, caller: CredentialRecord, audit: CallAudit, asked: SharedQuestion, result: Any
    ) -> Answer:
        """What a question came to. Raises why it is refused, and KeyChanged, which must be known before."""
        try:
            return asked.settle(result)
        except KeyChanged:
            raise
        except Exception as error:
            self._refuse(caller, audit, error)
            raise

    def _refuse(self, caller: CredentialRecord | None, audit: CallAudit | None, error: Exception) -> None:
        """Have the trail tell of a refusal, once the key is found as it was. Raises KeyChanged."""
        if caller is not None and not isinstance(error, StoreUnavailable):
            self.doorkeeper.require_same(caller)
        if audit is not None:
            _record_refusal(self.auditor, audit, error)


def admit(limiter: RateLimiter, client: Client, request: PlainRequest) -> Notes:
    """Note whose call this is, and count it; what is noted of the call.

    Raises RateLimited when the client calls too often.
    """
    call = request.notes
    call.client_name = client.name
    request.environ[CLIENT_VARIABLE] = client.client_id
    call.rate = standing = limiter.admit(client)
    if not standing.is_admitted:
        raise RateLimited(WINDOW_SECONDS)
    return call


def _forget_caller() -> None:
    """Nobody is known to have made this call any more."""
    asked = this_request()
    asked.notes.client_name = asked.notes.rate = None
    asked.environ.pop(CLIENT_VARIABLE, None)


def _answer(
    request: Request,
    endpoint: Endpoint,
    doorkeeper: Doorkeeper,
    client: Client,
    caller: CredentialRecord | None,
    audit: CallAudit,
    path: Mapping[str, str],
) -> Answer | SharedQuestion:
    """What the endpoint answers a known client. Whatever refuses the call is raised."""
    purpose = request.environ.get(_PURPOSE, audit.purpose)
    audit.purpose = purpose if purpose in PURPOSES else audit.purpose
    doorkeeper.require_role(client, endpoint.roles)
    _check_path_payer(endpoint, doorkeeper, client, audit, path)
    if endpoint.streams is not None:
        require_type(request, endpoint.streams)
    body = _body(request, endpoint, endpoint.body, doorkeeper, client, audit) if endpoint.body else None
    if purpose not in PURPOSES:
        raise MissingHeader(f"{PURPOSE_HEADER} must be one of {', '.join(PURPOSES)}.")
    return endpoint.handler(
        Call(
            client=client,
            request_id=audit.request_id,
            audit=audit,
            body=body,
            path=path,
            request=request,
            caller=caller,
        )
    )


def _begin_anew(endpoint: Endpoint, store: BudgetedStore) -> None:
    """A stream may have taken as long as it liked; what is left to do has the time of one call."""
    if endpoint.streams is not None:
        store.begin_call()


def _record_refusal(auditor: Auditor, audit: CallAudit, error: Exception) -> None:
    """Have the trail tell how a call failed.

    Raises StoreUnavailable when it cannot be told; of a bug it is the log that must tell.
    """
    if isinstance(error, HTTPException) and error.code in HTTP_ERRORS:
        error = HTTP_ERRORS[error.code]()
    kind = problem_type(error) if isinstance(error, NeedlecapError) else INTERNAL
    if kind is INTERNAL:
        with contextlib.suppress(StoreUnavailable):
            auditor.refused(audit, kind.status, kind.slug)
    elif kind.status not in _UNAUDITED:
        auditor.refused(audit, kind.status, kind.slug)


def _check_path_payer(
    endpoint: Endpoint, doorkeeper: Doorkeeper, client: Client, audit: CallAudit, path: Mapping[str, str]
) -> None:
    """The payer of the address, before anything of the body is looked at."""
    if endpoint.payer not in {"path", "path_or_new"}:
        return
    if endpoint.payer == "path" or not client.sees_all:
        doorkeeper.require_payer(client, path["payer_id"])
    audit.concerns(path["payer_id"])


def _body(
    request: Request,
    endpoint: Endpoint,
    spec: JsonBody,
    doorkeeper: Doorkeeper,
    client: Client,
    audit: CallAudit,
) -> Any:
    """The body as the endpoint reads it; its payer is checked before its other fields."""
    require_type(request, JSON_TYPE)
    value = parse_json(read_body(request, spec.bytes_max))
    if endpoint.payer == "body" and isinstance(value, dict) and isinstance(value.get("payer_id"), str):
        doorkeeper.require_payer(client, value["payer_id"])
        member_id = value.get("member_id")
        audit.concerns(value["payer_id"], member_id if isinstance(member_id, str) else None)
    return spec.read(value)
