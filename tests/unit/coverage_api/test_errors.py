"""Every error has its problem."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.coverage_api.errors import (
    HOLD_REFUSALS,
    INTERNAL,
    PROBLEM_TYPES,
    TokenRefused,
    problem,
    problem_type,
    retry_after,
)
from services.coverage_api.jwks_fetch import JwksUnavailable
from shared.accounting.holds import HoldRefused
from shared.adapters.catalog_files import CatalogFileInvalid
from shared.adapters.jwks import JwksRefused
from shared.domain.errors import (
    ConcurrentChange,
    CountersUnavailable,
    Invalid,
    NeedlecapError,
    StoreUnavailable,
)
from shared.domain.intake import NotAllNew


def every_error(root: type[NeedlecapError] = NeedlecapError) -> Iterator[type[NeedlecapError]]:
    """All classes of errors that are known in this process."""
    for cls in root.__subclasses__():
        yield cls
        yield from every_error(cls)


def test_each_error_is_answered_on_purpose() -> None:
    """No error falls through to 500 but those that no call lets out."""
    fallen = {cls for cls in every_error() if not any(base in PROBLEM_TYPES for base in cls.__mro__)}
    refusals_of_tokens = {TokenRefused, JwksUnavailable, JwksRefused}
    kept_within = {CountersUnavailable, CatalogFileInvalid, ConcurrentChange, NotAllNew}
    assert fallen <= kept_within | refusals_of_tokens


def test_slugs_name_one_kind_of_problem_each() -> None:
    """Two kinds of problem never share a type."""
    kinds = [*PROBLEM_TYPES.values(), *HOLD_REFUSALS.values(), INTERNAL]
    assert len({kind.slug for kind in kinds}) == len(kinds)


def test_unavailable_store_is_indeterminate() -> None:
    """When Postgres cannot answer, the problem says so and when to come back (I13)."""
    document = problem(StoreUnavailable(), "r1")
    assert document["type"] == "/problems/indeterminate"
    assert document["status"] == 503
    assert retry_after(StoreUnavailable()) == 2


def test_faults_are_listed_with_pointers() -> None:
    """Bad input names its faults."""
    document = problem(Invalid([("/lines/0/procedure_code", "Must be a code.")]), "r1")
    assert document["errors"] == [{"pointer": "/lines/0/procedure_code", "message": "Must be a code."}]
    assert document["request_id"] == "r1"


@pytest.mark.parametrize("code", sorted(HOLD_REFUSALS))
def test_refused_hold_is_named_by_its_code(code: str) -> None:
    """A refusal's code is the problem's type."""
    assert problem_type(HoldRefused(code, (), ())).slug == code
