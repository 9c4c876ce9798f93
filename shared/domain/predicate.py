"""Conditions of a rule, evaluated in three-valued (Kleene) logic: true, false, or missing.

A condition that needs what the request does not say is missing, and names the request's paths. `all`
is false as soon as one part is false, `any` true as soon as one is true, so a missing input shows up
only where its value could change the condition. The leaf tests are in `predicate_tests`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from enum import Enum
from typing import Protocol

from shared.domain.evaluation import Situation
from shared.domain.record import record
from shared.domain.service import Service, ServiceLine


class Truth(Enum):
    """The three values. Ordered FALSE < MISSING < TRUE: `all` is the least, `any` the greatest."""

    FALSE = 0
    MISSING = 1
    TRUE = 2


@record(frozen=True, slots=True)
class Verdict:
    """A truth, and the request paths it lacks; paths are there only if it is MISSING."""

    truth: Truth
    missing: tuple[str, ...] = ()

    @property
    def negated(self) -> Verdict:
        """True for false, false for true; missing stays missing."""
        if self.truth is Truth.MISSING:
            return self
        return FALSE if self.truth is Truth.TRUE else TRUE


TRUE = Verdict(Truth.TRUE)
FALSE = Verdict(Truth.FALSE)


def missing(*paths: str) -> Verdict:
    """A verdict that waits for the request to say `paths`."""
    return Verdict(Truth.MISSING, paths)


def verdict_of(value: bool) -> Verdict:  # noqa: FBT001 - a conversion has one argument
    """The verdict that a known boolean is."""
    return TRUE if value else FALSE


def merged(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Several lists of paths as one, each path once, in order."""
    return tuple(dict.fromkeys(path for group in paths for path in group))


def conjunction(verdicts: Iterable[Verdict]) -> Verdict:
    """False if any is false, else missing if any is missing, else true."""
    waiting: list[tuple[str, ...]] = []
    for verdict in verdicts:
        if verdict.truth is Truth.FALSE:
            return FALSE
        if verdict.truth is Truth.MISSING:
            waiting.append(verdict.missing)
    return Verdict(Truth.MISSING, merged(waiting)) if waiting else TRUE


def disjunction(verdicts: Iterable[Verdict]) -> Verdict:
    """True if any is true, else missing if any is missing, else false."""
    waiting: list[tuple[str, ...]] = []
    for verdict in verdicts:
        if verdict.truth is Truth.TRUE:
            return TRUE
        if verdict.truth is Truth.MISSING:
            waiting.append(verdict.missing)
    return Verdict(Truth.MISSING, merged(waiting)) if waiting else FALSE


@record(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a condition is asked about: one line of a service, in its situation.

    `diagnoses` are the line's codes, normalised; `credentials` and `documented` the labels,
    normalised, None where not said. `assumed` gives leaf tests a value, to try out what could be.
    """

    situation: Situation
    index: int
    line: ServiceLine
    diagnoses: tuple[str, ...]
    credentials: frozenset[str] | None
    documented: frozenset[str] | None
    assumed: Mapping[Predicate, bool] = field(default_factory=dict)

    @property
    def service(self) -> Service:
        """The service the line belongs to."""
        return self.situation.service


class Predicate(Protocol):
    """A condition. Implementations are frozen values."""

    def evaluate(self, subject: Subject) -> Verdict:
        """Whether it holds for a line, as far as the request says."""
        ...

    def parts(self) -> tuple[Predicate, ...]:
        """The conditions it is made of; none for a leaf."""
        ...


@record(frozen=True, slots=True)
class Constant:
    """Always the same: `always: true`, or a rule without `when`."""

    value: bool

    def evaluate(self, subject: Subject) -> Verdict:
        """The constant."""
        del subject
        return TRUE if self.value else FALSE

    def parts(self) -> tuple[Predicate, ...]:
        """None."""
        return ()


ALWAYS = Constant(value=True)


@record(frozen=True, slots=True)
class AllOf:
    """Every part holds; without parts it holds."""

    items: tuple[Predicate, ...]

    def evaluate(self, subject: Subject) -> Verdict:
        """The conjunction of the parts."""
        return conjunction(item.evaluate(subject) for item in self.items)

    def parts(self) -> tuple[Predicate, ...]:
        """The parts."""
        return self.items


@record(frozen=True, slots=True)
class AnyOf:
    """Some part holds; without parts it does not."""

    items: tuple[Predicate, ...]

    def evaluate(self, subject: Subject) -> Verdict:
        """The disjunction of the parts."""
        return disjunction(item.evaluate(subject) for item in self.items)

    def parts(self) -> tuple[Predicate, ...]:
        """The parts."""
        return self.items


@record(frozen=True, slots=True)
class Negation:
    """The part does not hold."""

    item: Predicate

    def evaluate(self, subject: Subject) -> Verdict:
        """The negation of the part."""
        return self.item.evaluate(subject).negated

    def parts(self) -> tuple[Predicate, ...]:
        """The one part."""
        return (self.item,)


@record(frozen=True, slots=True)
class Stated:
    """The part holds and the request says so: what it does not say counts as not holding.

    For rules that speak only of what is stated, as Medicare's "stop when not improving": silence is
    no reason to stop. A document that uses it should carry the choice in its `assumptions`.
    """

    item: Predicate

    def evaluate(self, subject: Subject) -> Verdict:
        """True only if the part is known to be true."""
        return verdict_of(self.item.evaluate(subject).truth is Truth.TRUE)

    def parts(self) -> tuple[Predicate, ...]:
        """The one part."""
        return (self.item,)


def walk(predicate: Predicate) -> Iterator[Predicate]:
    """A condition and everything it is made of."""
    yield predicate
    for part in predicate.parts():
        yield from walk(part)
