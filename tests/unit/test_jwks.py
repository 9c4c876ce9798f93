"""Public keys of clients that sign: which can be registered, and from where they may be fetched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from shared.adapters.jwks import JwksRefused, register_jwks, usable_keys
from shared.adapters.jwks_urls import url_is_allowed
from tests.signing import jwk_set, signing_key


def member(**changes: Any) -> dict[str, Any]:
    """A usable key with changes; None takes a member away."""
    key = dict(signing_key().as_dict(private=False)) | changes
    return {name: value for name, value in key.items() if value is not None}


def test_public_keys_of_both_algorithms_are_registered() -> None:
    """The document is kept whole, and its keys are found by their ids."""
    document = register_jwks(jwk_set(signing_key(), signing_key("RS384", "second")))
    assert set(usable_keys(document)) == {"first", "second"}


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "JSON"),
        ("[" * 20_000, "JSON"),
        ("[]", "JWK Set"),
        ('{"keys": {}}', "JWK Set"),
        ('{"keys": []}', "1 to 20"),
        (json.dumps({"keys": [member()] * 2}), "same `kid`"),
        (json.dumps({"keys": [member(kid=f"k{n}") for n in range(21)]}), "1 to 20"),
        (json.dumps({"keys": [7]}), "no object"),
        (json.dumps({"keys": [member(kid=None)]}), "no `kid`"),
        (json.dumps({"keys": [member(kid=7)]}), "no `kid`"),
        (json.dumps({"keys": [member(use="enc")]}), "not for signatures"),
        (json.dumps({"keys": [member(use=None, key_ops=["encrypt"])]}), "malformed|not for signatures"),
        (json.dumps({"keys": [member(x="!")]}), "malformed"),
        (json.dumps({"keys": [member(x=None)]}), "malformed"),
        (json.dumps({"keys": [member(alg="ES256")]}), "cannot sign"),
        (json.dumps({"keys": [signing_key().as_dict(private=True)]}), "private"),
        (jwk_set(ECKey.generate_key("P-256", {"kid": "a"})), "cannot sign"),
        (jwk_set(OKPKey.generate_key("Ed25519", {"kid": "a"})), "kind"),
        (json.dumps({"keys": [{"kty": "oct", "k": "AAAA", "kid": "a"}]}), "kind"),
        ("x" * 70_000, "at most"),
    ],
)
def test_what_cannot_be_used_is_refused(document: str, why: str) -> None:
    """Each with its reason, so that nobody finds out only when signing."""
    with pytest.raises(JwksRefused, match=why):
        register_jwks(document)


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_short_rsa_key_is_refused() -> None:
    """An RSA key of fewer than 2048 bits proves too little."""
    with pytest.raises(JwksRefused, match="2048"):
        register_jwks(jwk_set(RSAKey.generate_key(1024, {"kid": "a"})))


def test_fetched_set_keeps_what_can_be_used() -> None:
    """A client may publish keys for others beside the one for us."""
    document = json.dumps(
        {"keys": [7, member(alg="ES256"), {"kty": "AKP", "kid": "new"}, member(kid="good")]}
    )
    assert set(usable_keys(document)) == {"good"}


ALLOWED = (
    "https://ehr.example.org/keys/",
    "https://one.example.org/jwks.json",
    "https://port.example.org:8443/",
)


@pytest.mark.parametrize(
    "url",
    [
        "https://ehr.example.org/keys/a/b.json",
        "https://one.example.org/jwks.json",
        "https://port.example.org:8443/x",
    ],
)
def test_listed_address_is_allowed(url: str) -> None:
    """Itself, or below an entry that ends with a slash."""
    assert url_is_allowed(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "http://ehr.example.org/keys/a",
        "https://ehr.example.org/other",
        "https://ehr.example.org/keys/../other",
        "https://ehr.example.org/keys/%2e%2e/other",
        "https://ehr.example.org/keys/..\\other",
        "https://ehr.example.org/keys/a?to=elsewhere",
        "https://ehr.example.org/keys/a#b",
        "https://one.example.org/jwks.json/more",
        "https://one.example.org.evil.example/jwks.json",
        "https://ehr.example.org/keys/@evil.example",
        "https://user@ehr.example.org/keys/a",
        "https://port.example.org:0/x",
        "https://port.example.org:99999/x",
        "https:///keys/",
        "https://ehr.example.org/keys/" + "a" * 2_000,
        "https://ehr.example.org/keys/é",
        "https://ehr.example.org/keys/a\nb",
        "",
    ],
)
def test_other_address_is_not_allowed(url: str) -> None:
    """Nor anything that another reader might take for another address."""
    assert not url_is_allowed(url, ALLOWED)


def test_nothing_is_allowed_unless_listed() -> None:
    """An empty list lets nothing through."""
    assert not url_is_allowed(ALLOWED[0], ())
