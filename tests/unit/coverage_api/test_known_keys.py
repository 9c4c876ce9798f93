"""What is known of a key holds until a look-up says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from services.coverage_api.known_keys import KnownKeys, prefixes_of
from shared.domain.client import Client, CredentialRecord
from tests.builders import NOW

KEY = CredentialRecord(
    client=Client(client_id="c", name="c", role="ehr", payers=("*",)),
    prefix="p",
    kind="key",
    digest=b"d",
    expires_at=NOW + timedelta(hours=1),
    revoked_at=None,
    last_used_at=None,
)


class Uses:
    """Hears of uses."""

    def __init__(self) -> None:
        self.heard: list[CredentialRecord] = []

    def note(self, record: CredentialRecord, _now: object) -> None:
        """A use."""
        self.heard.append(record)


class Looking:
    """A transaction that finds one key as it is now, or nothing."""

    def __init__(self, found: CredentialRecord | None) -> None:
        self._found = found
        self.asked: list[list[str]] = []

    @property
    def clients(self) -> Any:
        """Where keys are found."""
        return self

    def find(self, prefixes: Sequence[str]) -> dict[str, CredentialRecord]:
        """The key, if it is asked for."""
        self.asked.append(list(prefixes))
        return {"p": self._found} if self._found is not None else {}


@dataclass(frozen=True)
class Request:
    """A request, and what it knew of its key."""

    caller: CredentialRecord | None


def confirmed(found: CredentialRecord | None, *requests: Request) -> tuple[list[bool], KnownKeys, Looking]:
    """What a look-up that finds this makes of what was known."""
    uses: Any = Uses()
    known, looking = KnownKeys(uses), Looking(found)
    known.used(KEY, NOW)
    return known.confirm(looking, requests, NOW), known, looking


def test_keys_of_all_requests_are_looked_up_once() -> None:
    """Those that have just been looked up are not, and stand."""
    stands, _, looking = confirmed(KEY, Request(KEY), Request(None), Request(KEY))
    assert stands == [True, True, True]
    assert looking.asked == [["p"]] == [prefixes_of([Request(KEY), Request(None)])]
    assert confirmed(KEY, Request(None))[2].asked == []


def test_later_use_changes_nothing() -> None:
    """And is what is known from then on."""
    used = replace(KEY, last_used_at=NOW)
    stands, known, _ = confirmed(used, Request(KEY))
    assert stands == [True]
    assert known.recall("p") == used


@pytest.mark.parametrize(
    "found",
    [None, replace(KEY, revoked_at=NOW), replace(KEY, expires_at=NOW)],
    ids=["gone", "revoked", "expired"],
)
def test_key_that_is_over_is_forgotten(found: CredentialRecord | None) -> None:
    """Each later call with it begins with a look-up, and takes none of its client's permits."""
    stands, known, _ = confirmed(found, Request(KEY))
    assert stands == [False]
    assert known.recall("p") is None


@pytest.mark.parametrize(
    "found",
    [
        replace(KEY, client=replace(KEY.client, role="ops")),
        replace(KEY, client=replace(KEY.client, payers=("one",))),
        replace(KEY, digest=b"other"),
    ],
    ids=["role", "payers", "secret"],
)
def test_key_that_opens_something_else_does_not_stand(found: CredentialRecord) -> None:
    """The next call begins on what it is now."""
    stands, known, _ = confirmed(found, Request(KEY))
    assert stands == [False]
    assert known.recall("p") == found
