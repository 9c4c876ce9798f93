"""What a new catalog changes is known before it is activated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.catalog_diff import DocumentChange, changes_between
from shared.domain.rule_document import RuleDocument
from tests.unit.rules.builders import ask, catalog_of, document, invented, packaged, plan

EARLY, LATE = date(2021, 1, 1), date(2026, 1, 1)


def version(number: int, start: date, allowed: int) -> RuleDocument:
    """A version of the invented policy with a limit."""
    return document(
        version=number,
        effective={"from": start},
        limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": allowed}],
    )


def touch(changes: Sequence[DocumentChange], payer_id: str, on: date) -> bool:
    """Whether the payers and dates of the changes hold a payer's service on a date."""
    return any(
        (change.payers is None or payer_id in change.payers)
        and (change.start is None or change.start <= on)
        and (change.end is None or on < change.end)
        for change in changes
    )


def test_equal_catalogs_have_no_changes() -> None:
    """Loading the same again touches nothing."""
    assert changes_between(packaged(), packaged()) == []


def test_added_changed_and_removed_versions_are_listed() -> None:
    """Each version that differs is named with its kind, payers and dates."""
    before = catalog_of(version(1, EARLY, 20), version(2, LATE, 12))
    after = catalog_of(version(1, EARLY, 20), version(2, LATE, 15), version(3, LATE, 10))
    changes = changes_between(before, after)
    assert [(c.version, c.kind, c.start) for c in changes] == [
        (2, "changed", LATE),
        (3, "added", LATE),
    ]
    assert [c.kind for c in changes_between(after, packaged())] == ["removed"] * 3
    assert touch(changes, "invented-payer", LATE)
    assert not touch(changes, "invented-payer", date(2025, 12, 31))
    assert not touch(changes, "aetna", LATE)


@given(
    st.lists(st.tuples(st.sampled_from((EARLY, LATE)), st.integers(10, 12)), max_size=3),
    st.lists(st.tuples(st.sampled_from((EARLY, LATE)), st.integers(10, 12)), max_size=3),
    st.dates(date(2020, 6, 1), date(2026, 12, 31)),
)
def test_what_is_not_touched_answers_the_same(
    old: list[tuple[date, int]], new: list[tuple[date, int]], on: date
) -> None:
    """Where the changes say that a service is not touched, both catalogs decide and claim alike."""
    before, after = (
        catalog_of(*(version(n, start, allowed) for n, (start, allowed) in enumerate(given, 1)))
        for given in (old, new)
    )
    changes = changes_between(before, after)
    for payer in ("invented-payer", "aetna"):
        asked = invented(of=plan(payer), on=on)
        if not touch(changes, payer, on):
            one, other = ask(asked, before), ask(asked, after)
            assert (one.decision, one.claims) == (other.decision, other.claims)
