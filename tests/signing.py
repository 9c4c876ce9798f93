"""A client that signs: its keys, its assertions, and the token they bring."""

from __future__ import annotations

import functools
import json
import secrets
from datetime import UTC, datetime
from typing import Any

import psycopg
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey
from werkzeug.test import TestResponse

from services.coverage_api.routes.oauth import ASSERTION_TYPE, TOKEN_PATH
from services.coverage_api.settings import PUBLIC_URL
from tests.api_service import Api
from tests.clients import add_client

ENDPOINT = f"{PUBLIC_URL}{TOKEN_PATH}"


@functools.cache
def signing_key(algorithm: str = "ES384", key_id: str = "first") -> Key:
    """A key pair of tests, made once."""
    parameters: Any = {"kid": key_id, "use": "sig", "alg": algorithm}
    if algorithm == "RS384":
        return RSAKey.generate_key(2048, parameters)
    return ECKey.generate_key("P-384", parameters)


def jwk_set(*keys: Key) -> str:
    """The public halves of keys, as a document."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def add_signer(
    api: Api, client_id: str, *, document: str | None = None, url: str | None = None, **options: Any
) -> None:
    """Store a client with registered public keys."""
    with psycopg.connect(api.installation.database_url) as connection:
        add_client(connection, client_id, **options)
    register(api, client_id, document=document, url=url)


def register(api: Api, client_id: str, *, document: str | None = None, url: str | None = None) -> None:
    """Register public keys of a client that is there."""
    api.installation.write(
        "insert into client_jwks (jwks_id, client_id, document, url) values (%s, %s, %s, %s)",
        f"jwks_{client_id}",
        client_id,
        document,
        url,
    )


def assertion(
    client_id: str,
    key: Key,
    *,
    header: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    **claims: Any,
) -> str:
    """A signed assertion for our token endpoint, with these claims in the place of the right ones."""
    now = int(datetime.now(UTC).timestamp())
    right = {
        "iss": client_id,
        "sub": client_id,
        "aud": ENDPOINT,
        "exp": now + 240,
        "iat": now,
        "jti": secrets.token_hex(8),
    }
    said = {name: value for name, value in (right | claims).items() if name not in without}
    protected = {"alg": key.alg, "kid": key.kid} | (header or {})
    return jwt.encode(
        {name: value for name, value in protected.items() if value is not None},
        said,
        key,
        algorithms=[str(protected["alg"])],
    )


def ask(api: Api, signed: str, **fields: str | None) -> TestResponse:
    """Ask for a token with this assertion, and these fields of the form in the place of the right ones."""
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed,
    } | fields
    response = api.service.app.test_client().post(
        TOKEN_PATH, data={name: value for name, value in form.items() if value is not None}
    )
    api.truth.check("POST", TOKEN_PATH, response)
    return response


def token_of(api: Api, client_id: str, key: Key, **fields: str | None) -> str:
    """A token for a client, asked for with a fresh assertion."""
    response = ask(api, assertion(client_id, key), **fields)
    assert response.status_code == 200, response.text
    token: str = response.get_json()["access_token"]
    return token
