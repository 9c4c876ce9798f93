"""Conditions in three-valued logic: what is missing shows up only where its value could matter."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.predicate import (
    ALWAYS,
    AllOf,
    AnyOf,
    Negation,
    Predicate,
    Stated,
    Subject,
    Truth,
    Verdict,
    missing,
    verdict_of,
    walk,
)
from tests.unit.rules.builders import subject

SUBJECT = subject()
NAMES = ("p", "q", "r", "s")
Values = Mapping[str, bool | None]


@dataclass(frozen=True, slots=True)
class Input(Predicate):
    """A leaf that asks for one named input; which values there are is set beside it."""

    name: str

    def evaluate(self, subject: Subject) -> Verdict:
        """Unused: `truth` walks the tree with values of its own."""
        raise AssertionError(subject)

    def parts(self) -> tuple[Predicate, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class Given(Predicate):
    """An input with its value; None is missing."""

    name: str
    value: bool | None

    def evaluate(self, subject: Subject) -> Verdict:
        """The value, or missing under the input's name."""
        del subject
        return missing(self.name) if self.value is None else verdict_of(self.value)

    def parts(self) -> tuple[Predicate, ...]:
        """None."""
        return ()


def with_values(predicate: Predicate, values: Values) -> Predicate:
    """The condition with each input given its value."""
    if isinstance(predicate, Input):
        return Given(predicate.name, values.get(predicate.name))
    if isinstance(predicate, Negation):
        return Negation(with_values(predicate.item, values))
    parts = tuple(with_values(part, values) for part in predicate.parts())
    return AllOf(parts) if isinstance(predicate, AllOf) else AnyOf(parts)


def verdict(predicate: Predicate, values: Values) -> Verdict:
    """The verdict of a condition under values."""
    return with_values(predicate, values).evaluate(SUBJECT)


def completions(values: Values) -> Iterator[Values]:
    """Every way of giving the missing inputs a value."""
    unknown = [name for name in NAMES if values.get(name) is None]
    for chosen in itertools.product((False, True), repeat=len(unknown)):
        yield {**values, **dict(zip(unknown, chosen, strict=True))}


def conditions() -> st.SearchStrategy[Predicate]:
    """Conditions of a few inputs, combined in every way."""
    leaves: st.SearchStrategy[Predicate] = st.sampled_from(NAMES).map(Input)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: AllOf(tuple(items))),
            st.lists(inner, max_size=3).map(lambda items: AnyOf(tuple(items))),
            inner.map(Negation),
        ),
        max_leaves=8,
    )


def valuations() -> st.SearchStrategy[Values]:
    """Inputs that are true, false or missing."""
    return st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from((True, False, None))))


@given(conditions(), valuations())
def test_known_verdict_is_that_of_every_completion(condition: Predicate, values: Values) -> None:
    """A verdict given while inputs are missing is right whatever their values turn out to be."""
    now = verdict(condition, values)
    if now.truth is not Truth.MISSING:
        assert {verdict(condition, full).truth for full in completions(values)} == {now.truth}


@given(conditions(), valuations())
def test_missing_names_only_missing_inputs(condition: Predicate, values: Values) -> None:
    """A missing verdict names at least one input, all of them missing; a known one names none."""
    now = verdict(condition, values)
    assert (now.truth is Truth.MISSING) == bool(now.missing)
    assert all(values[name] is None for name in now.missing)


@given(conditions(), valuations())
def test_giving_an_input_that_is_not_named_changes_nothing(condition: Predicate, values: Values) -> None:
    """What a missing verdict does not name could not settle it alone."""
    now = verdict(condition, values)
    for name in NAMES:
        if values[name] is None and name not in now.missing:
            for value in (True, False):
                assert verdict(condition, {**values, name: value}).truth is now.truth


@given(conditions(), conditions(), valuations())
def test_de_morgan_holds_in_three_values(one: Predicate, other: Predicate, values: Values) -> None:
    """Not all is any not, with the same missing inputs."""
    left = verdict(Negation(AllOf((one, other))), values)
    right = verdict(AnyOf((Negation(one), Negation(other))), values)
    assert left.truth is right.truth
    assert set(left.missing) == set(right.missing)


@given(conditions(), valuations())
def test_double_negation_is_the_condition(condition: Predicate, values: Values) -> None:
    """Negating twice gives the same verdict."""
    assert verdict(Negation(Negation(condition)), values) == verdict(condition, values)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, Truth.TRUE), (False, Truth.FALSE), (None, Truth.FALSE)]
)
def test_stated_takes_silence_for_no(value: bool | None, expected: Truth) -> None:  # noqa: FBT001
    """`stated` is true only of what is known to be true, and never missing."""
    assert Stated(Given("p", value)).evaluate(SUBJECT).truth is expected


def test_empty_all_holds_and_empty_any_does_not() -> None:
    """Nothing to hold holds; nothing to choose from does not."""
    assert AllOf(()).evaluate(SUBJECT).truth is Truth.TRUE
    assert AnyOf(()).evaluate(SUBJECT).truth is Truth.FALSE


def test_walk_reaches_every_part() -> None:
    """A walk finds the leaves however deep they are."""
    deep = AllOf((Negation(AnyOf((Input("p"), Stated(Input("q"))))), ALWAYS))
    assert {part.name for part in walk(deep) if isinstance(part, Input)} == {"p", "q"}
