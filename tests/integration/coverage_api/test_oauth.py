"""Access tokens: who gets one, what it opens, and when it stops opening it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from services.coverage_api.bootstrap import build
from shared.domain.client import ROLES
from tests.api_service import Api, check, settings_for
from tests.builders import PAYER
from tests.signing import (
    ENDPOINT,
    add_signer,
    ask,
    assertion,
    jwk_set,
    signing_key,
    token_of,
)

STATUS = "/v1/status"
KEY = signing_key()


@pytest.fixture(scope="session")
def signers(steady_api: Api) -> Api:
    """The shared service, with a client of each role that signs, for all payers and for one other."""
    for role in ROLES:
        add_signer(steady_api, f"signs-{role}", document=jwk_set(KEY), role=role)
        options: dict[str, Any] = {"role": role, "payers": ["medicare"]}
        add_signer(steady_api, f"signs-{role}-medicare", document=jwk_set(KEY), **options)
    return steady_api


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_signed_assertion_brings_a_token_for_five_minutes(steady_api: Api, algorithm: str) -> None:
    """The answer is what RFC 6749 has, is not cached, and the token opens what the client may call."""
    key = signing_key(algorithm)
    client_id = f"five-minutes-{algorithm}"
    add_signer(steady_api, client_id, document=jwk_set(key), role="ops")
    response = ask(steady_api, assertion(client_id, key))
    answer = response.get_json()
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("bearer", 300, "ops")
    assert response.headers["Cache-Control"] == "no-store"
    assert steady_api.get(STATUS, key=answer["access_token"]).status_code == 200


def wrong(name: str) -> Callable[[], str]:
    """An assertion of the client `refusals` with one thing wrong."""
    now = int(datetime.now(UTC).timestamp())
    hmac_key = OctKey.import_key(json.dumps(KEY.as_dict(private=False)).encode())
    claims = {"iss": "refusals", "sub": "refusals", "aud": ENDPOINT, "exp": now + 60, "jti": "x"}
    made: dict[str, Callable[[], str]] = {
        "expired": lambda: assertion("refusals", KEY, exp=now - 1),
        "too far ahead": lambda: assertion("refusals", KEY, exp=now + 400),
        "endless": lambda: assertion("refusals", KEY, exp=math.inf),
        "no number": lambda: assertion("refusals", KEY, exp=math.nan),
        "exp as text": lambda: assertion("refusals", KEY, exp=str(now + 60)),
        "from the future": lambda: assertion("refusals", KEY, iat=now + 120),
        "not yet": lambda: assertion("refusals", KEY, nbf=now + 120),
        "other audience": lambda: assertion("refusals", KEY, aud="https://elsewhere.example/oauth/token"),
        "audience is the host": lambda: assertion("refusals", KEY, aud=ENDPOINT.removesuffix("/oauth/token")),
        "sub of another": lambda: assertion("refusals", KEY, sub="signs-admin"),
        "iss of another": lambda: assertion("refusals", KEY, iss="signs-admin"),
        "jti too long": lambda: assertion("refusals", KEY, jti="x" * 501),
        "jti a number": lambda: assertion("refusals", KEY, jti=7),
        "kid unknown": lambda: assertion("refusals", KEY, header={"kid": "other"}),
        "no kid": lambda: assertion("refusals", KEY, header={"kid": None}),
        "jku of another": lambda: assertion(
            "refusals", KEY, header={"jku": "https://elsewhere.example/jwks"}
        ),
        "another's key": lambda: assertion(
            "refusals", signing_key("ES384", "second"), header={"kid": "first"}
        ),
        "RS256": lambda: jwt.encode(
            {"alg": "RS256", "kid": "first"}, claims, RSAKey.generate_key(2048), algorithms=["RS256"]
        ),
        "HS256 with the public key": lambda: jwt.encode(
            {"alg": "HS256", "kid": "first"}, claims, hmac_key, algorithms=["HS256"]
        ),
        "none": lambda: jwt.encode({"alg": "none", "kid": "first"}, claims, KEY, algorithms=["none"]),
        "unsigned": lambda: assertion("refusals", KEY).rsplit(".", 1)[0] + ".",
        "no JWT": lambda: "nothing",
        "header is no object": lambda: "ImFsZyI.e30.AA",
        "claims are no object": lambda: assertion("refusals", KEY).split(".")[0] + ".W10.AA",
        "client unknown": lambda: assertion("nobody", KEY),
        "client with no keys": lambda: assertion("unregistered", KEY),
        "too long": lambda: "a" * 8_001,
        **{f"without {claim}": partial(assertion, "refusals", KEY, without=(claim,)) for claim in claims},
    }
    return made[name]


WRONG = (
    "expired too-far-ahead endless no-number exp-as-text from-the-future not-yet other-audience "
    "audience-is-the-host sub-of-another iss-of-another jti-too-long jti-a-number kid-unknown no-kid "
    "jku-of-another another's-key RS256 HS256-with-the-public-key none unsigned no-JWT header-is-no-object "
    "claims-are-no-object client-unknown client-with-no-keys too-long without-iss without-sub without-aud "
    "without-exp without-jti"
)


@pytest.fixture(scope="session")
def refusing(signers: Api) -> Api:
    """The shared service with a client whose assertions are refused, and one that registered nothing."""
    add_signer(signers, "refusals", document=jwk_set(KEY), role="ops")
    add_signer(signers, "unregistered", document=jwk_set(KEY), role="ops")
    signers.installation.write("delete from client_jwks where client_id = 'unregistered'")
    return signers


@pytest.mark.parametrize("name", [name.replace("-", " ") for name in WRONG.split()])
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_wrong_assertion_is_refused(refusing: Api, name: str) -> None:
    """Whatever is wrong with it, the client is not believed, and nothing of the assertion is quoted."""
    response = ask(refusing, wrong(name)())
    assert response.status_code == 401
    assert response.get_json()["error"] == "invalid_client"
    assert "refusals" not in response.text
    assert "Bearer" in response.headers["WWW-Authenticate"]


def test_fast_clock_is_borne_with(refusing: Api) -> None:
    """A client whose clock is ahead by less than half a minute is believed."""
    ahead = int(datetime.now(UTC).timestamp()) + 20
    claims: dict[str, Any] = {"iat": ahead, "nbf": ahead, "exp": ahead + 300}
    assert ask(refusing, assertion("refusals", KEY, **claims)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"client_assertion": None}, "invalid_request"),
        ({"client_assertion_type": "urn:other"}, "invalid_request"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"scope": "ops:cigna", "client": "signs-ops-medicare"}, "invalid_scope"),
        ({"scope": "ops:"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "x" * 10_001}, "invalid_scope"),
    ],
)
def test_request_that_cannot_be_granted_says_why(refusing: Api, fields: dict[str, Any], error: str) -> None:
    """The errors are RFC 6749's, as JSON with status 400."""
    signed = assertion(fields.get("client", "refusals"), KEY)
    response = ask(refusing, signed, **{name: value for name, value in fields.items() if name != "client"})
    assert (response.status_code, response.get_json()["error"]) == (400, error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "application/json"),
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        (b"a=%ff", "application/x-www-form-urlencoded"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % number for number in range(30)), "application/x-www-form-urlencoded"),
        (b"a=" + b"x" * 40_000, "application/x-www-form-urlencoded"),
    ],
)
def test_body_that_is_no_form_is_refused(steady_api: Api, body: bytes, kind: str) -> None:
    """Another type, a field twice, broken encoding or too much of it: `invalid_request`."""
    response = steady_api.post("/oauth/token", data=body, content_type=kind, key="")
    assert (response.status_code, response.get_json()["error"]) == (400, "invalid_request")


def test_scope_narrows_to_one_payer(signers: Api) -> None:
    """A token asked for with a payer sees that payer alone; what the client does not have is left out."""
    asked = f"portal:{PAYER} portal:{PAYER} admin ehr:cigna"
    response = ask(signers, assertion("signs-portal", KEY), scope=asked)
    answer = response.get_json()
    assert answer["scope"] == f"portal:{PAYER}"
    search = {"member_id": "m", "service_date": "2026-03-04"}
    for payer_id, status in ((PAYER, 200), ("medicare", 404)):
        body = {**search, "payer_id": payer_id}
        answered = signers.post("/v1/accumulators/search", body, key=answer["access_token"])
        assert answered.status_code == status


def test_everything_has_names_of_smart(signers: Api) -> None:
    """SMART's system scopes for everything open what the client has."""
    for scope in ("system/*.cruds", "system/*.*", "ops", "ops ops:medicare"):
        assert signers.get(STATUS, key=token_of(signers, "signs-ops", KEY, scope=scope)).status_code == 200


def test_payer_that_was_taken_away_is_taken_from_tokens_too(steady_api: Api) -> None:
    """A token never shows more than its client is granted now."""
    add_signer(steady_api, "shrinking", document=jwk_set(KEY), role="portal")
    token = token_of(steady_api, "shrinking", KEY, scope=f"portal:{PAYER}")
    steady_api.installation.write("update client set payers = '{medicare}' where client_id = 'shrinking'")
    body = {"payer_id": PAYER, "member_id": "m", "service_date": "2026-03-04"}
    assert steady_api.post("/v1/accumulators/search", body, key=token).status_code == 404


@pytest.fixture
def two_apis(bare_api: Api, redis_url: str) -> Iterator[tuple[Api, Api]]:
    """Two processes' services on one database."""
    service = build(settings_for(bare_api.installation.database_url, redis_url))
    yield bare_api, Api(service, bare_api.installation)
    service.close()


def test_assertion_is_taken_once_on_all_processes(two_apis: tuple[Api, Api]) -> None:
    """Shown again, to the same process, another, or to both at once, it brings no second token."""
    add_signer(two_apis[0], "replays", document=jwk_set(KEY), role="ops")
    signed = assertion("replays", KEY)
    assert ask(two_apis[0], signed).status_code == 200
    for api in two_apis:
        again = ask(api, signed)
        assert (again.status_code, again.get_json()["error"]) == (401, "invalid_client")
    fresh = assertion("replays", KEY)
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda number: ask(two_apis[number % 2], fresh).status_code, range(8)))
    assert sorted(statuses) == [200] + [401] * 7


def test_same_jti_of_another_client_is_no_replay(signers: Api) -> None:
    """Clients choose their ids without knowing of each other."""
    for client_id in ("signs-ops", "signs-ehr"):
        assert ask(signers, assertion(client_id, KEY, jti="chosen-by-both")).status_code == 200


@pytest.mark.parametrize(
    "closed",
    [
        "update client set revoked_at = now() where client_id = 'closing'",
        "update client_jwks set revoked_at = now() where client_id = 'closing'",
        "update credential set revoked_at = now() where client_id = 'closing'",
        "update credential set expires_at = now() where client_id = 'closing'",
    ],
)
def test_token_is_closed_with_what_it_stands_on(two_apis: tuple[Api, Api], closed: str) -> None:
    """Revoking the client, its registered keys or the token, and its end, take effect on both processes."""
    first, second = two_apis
    add_signer(first, "closing", document=jwk_set(KEY), role="ops")
    token = token_of(first, "closing", KEY)
    assert second.get(STATUS, key=token).status_code == 200
    first.installation.write(closed)
    assert [api.get(STATUS, key=token).status_code for api in two_apis] == [401, 401]
    expected = 200 if "credential" in closed else 401
    assert ask(second, assertion("closing", KEY)).status_code == expected


def test_token_is_stored_as_a_digest_for_its_client(bare_api: Api) -> None:
    """The database holds no token, and the services' role can make no key and reopen nothing."""
    add_signer(bare_api, "stored", document=jwk_set(KEY), role="ehr")
    token = token_of(bare_api, "stored", KEY)
    rows = bare_api.installation.rows("select credential::text from credential where client_id = 'stored'")
    assert token.split("_")[2] not in str(rows)
    assert bare_api.post("/v1/eligibility-checks", check(), key=token).status_code == 201
    forbidden = (
        "insert into credential (prefix, kind, client_id, digest) values ('x', 'key', 'stored', '')",
        "update credential set revoked_at = null",
        "update client_jwks set revoked_at = null",
        "update client set payers = '{*}'",
    )
    for statement in forbidden:
        with pytest.raises(Exception, match=r"permission denied|row-level security"):
            bare_api.installation.write(f"set role needlecap_app; {statement}".replace("%", "%%"))


def test_metadata_says_where_tokens_are_given(steady_api: Api) -> None:
    """SMART's document names the endpoint, the method and the two algorithms."""
    document = steady_api.get("/.well-known/smart-configuration", key="").get_json()
    assert document["token_endpoint"] == ENDPOINT
    assert document["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert "client-confidential-asymmetric" in document["capabilities"]
