"""The way of every call: key, role, payer, body, handler; each check in the contract's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, g, request

from services.coverage_api.bodies import parse_json, read_body, require_type
from services.coverage_api.http import JSON_TYPE, Call, Endpoint, JsonBody, respond
from services.coverage_api.security import Doorkeeper
from shared.domain.client import Client

View = Callable[..., Response]


def view_of(endpoint: Endpoint, doorkeeper: Doorkeeper) -> View:
    """The Flask view of an endpoint. What it refuses it raises; the app turns that into a problem."""

    def view(**path: str) -> Response:
        client = doorkeeper.identify(request.headers.get("Authorization"))
        g.client_name = client.name
        doorkeeper.require_role(client, endpoint.roles)
        _check_path_payer(endpoint, doorkeeper, client, path)
        if endpoint.streams is not None:
            require_type(request, endpoint.streams)
        body = _body(endpoint, endpoint.body, doorkeeper, client) if endpoint.body else None
        call = Call(
            client=client,
            request_id=g.request_id,
            body=body,
            path=path,
            request=request,
        )
        return respond(endpoint.handler(call))

    view.__name__ = endpoint.name
    return view


def _check_path_payer(
    endpoint: Endpoint, doorkeeper: Doorkeeper, client: Client, path: Mapping[str, str]
) -> None:
    """The payer of the address, before anything of the body is looked at."""
    if endpoint.payer == "path" or (endpoint.payer == "path_or_new" and not client.sees_all):
        doorkeeper.require_payer(client, path["payer_id"])


def _body(endpoint: Endpoint, spec: JsonBody, doorkeeper: Doorkeeper, client: Client) -> Any:
    """The body as the endpoint reads it; its payer is checked before its other fields."""
    require_type(request, JSON_TYPE)
    value = parse_json(read_body(request, spec.bytes_max))
    if endpoint.payer == "body" and isinstance(value, dict) and isinstance(value.get("payer_id"), str):
        doorkeeper.require_payer(client, value["payer_id"])
    return spec.read(value)
