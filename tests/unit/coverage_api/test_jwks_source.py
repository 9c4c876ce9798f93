"""Fetched public keys: kept for a short time, asked for again when a new one is named, never too often."""

from __future__ import annotations

import pytest

from services.coverage_api.jwks_fetch import JwksUnavailable
from services.coverage_api.jwks_source import ASKED_EVERY_SECONDS, KEPT_SECONDS, JwksSource
from shared.domain.client import RegisteredKeys
from tests.signing import jwk_set, signing_key

URL = "https://ehr.example.org/jwks.json"
REMOTE = RegisteredKeys(jwks_id="remote", document=None, url=URL)
INLINE = RegisteredKeys(jwks_id="inline", document=jwk_set(signing_key()), url=None)
SECOND = signing_key("ES384", "second")


class Elsewhere:
    """The client's side: what it serves, how often it was asked, and the time."""

    def __init__(self) -> None:
        self.document: str | None = jwk_set(signing_key())
        self.asked = 0
        self.now = 1_000.0
        self.source = JwksSource(self.fetch, lambda: self.now)

    def fetch(self, url: str) -> str:
        """What is served."""
        assert url == URL
        self.asked += 1
        if self.document is None:
            raise JwksUnavailable("away")
        return self.document

    def finds(self, key_id: str) -> bool:
        """Whether the source finds a key of this id there."""
        return self.source.find([REMOTE], key_id, None) is not None


def test_set_is_fetched_once_and_again_when_it_is_old() -> None:
    """Within five minutes a known key costs no call."""
    there = Elsewhere()
    assert all(there.finds("first") for _ in range(5))
    assert there.asked == 1
    there.now += KEPT_SECONDS
    assert there.finds("first")
    assert there.asked == 2


def test_unknown_key_is_asked_for_once_in_a_while() -> None:
    """A new key is found after the floor has passed; made-up ids do not reach the client's server."""
    there = Elsewhere()
    assert there.finds("first")
    there.document = jwk_set(signing_key(), SECOND)
    assert not any(there.finds(f"made-up-{number}") for number in range(5))
    assert there.asked == 1
    there.now += ASKED_EVERY_SECONDS
    assert there.finds("second")
    assert there.asked == 2
    assert not any(there.finds(f"made-up-{number}") for number in range(5))
    assert there.asked == 2


def test_withdrawn_key_is_forgotten_with_the_next_fetch() -> None:
    """What the client no longer publishes opens nothing once the set is fetched anew."""
    there = Elsewhere()
    assert there.finds("first")
    there.document = jwk_set(SECOND)
    there.now += KEPT_SECONDS
    assert not there.finds("first")


def test_server_that_is_away_is_not_asked_again_at_once() -> None:
    """While its keys are young they are used; after that nobody is believed until it answers."""
    there = Elsewhere()
    assert there.finds("first")
    there.document = None
    there.now += KEPT_SECONDS
    for _ in range(3):
        with pytest.raises(JwksUnavailable):
            there.finds("first")
    assert there.asked == 2
    there.document = jwk_set(signing_key())
    there.now += ASKED_EVERY_SECONDS
    assert there.finds("first")


def test_answer_that_is_no_jwk_set_counts_as_none() -> None:
    """An error page is not mistaken for keys."""
    there = Elsewhere()
    there.document = "<html>"
    with pytest.raises(JwksUnavailable):
        there.finds("first")


def test_registered_set_needs_no_other_server() -> None:
    """An inline key is found although the address does not answer; `jku` rules it out."""
    there = Elsewhere()
    there.document = None
    found = there.source.find([REMOTE, INLINE], "first", None)
    assert found is not None
    assert found[0] == "inline"
    assert there.asked == 0
    with pytest.raises(JwksUnavailable):
        there.source.find([REMOTE, INLINE], "first", URL)
    assert there.source.find([INLINE], "first", URL) is None
    assert there.source.find([], "first", None) is None
