"""The leaf tests of conditions: each asks one thing of a line, its service or its situation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from shared.domain.code_sets import DiagnosisSet, ProcedureSet, normalise_label
from shared.domain.predicate import FALSE, TRUE, Predicate, Subject, Verdict, missing, verdict_of

Mode = Literal["any", "all", "none"]
Scalar = str | bool | None

DIAGNOSES_PATH = "lines[].diagnosis_codes"


class Leaf(ABC):
    """A test that has no parts."""

    __slots__ = ()

    def evaluate(self, subject: Subject) -> Verdict:
        """What is assumed of it, if anything is; else what the request says."""
        if subject.assumed and self in subject.assumed:
            return verdict_of(subject.assumed[self])
        return self.test(subject)

    @abstractmethod
    def test(self, subject: Subject) -> Verdict:
        """Whether it holds for a line, as far as the request says."""

    def parts(self) -> tuple[Predicate, ...]:
        """None."""
        return ()


def _of_plan(name: str) -> Callable[[Subject], Scalar]:
    def read(subject: Subject) -> Scalar:
        value: Scalar = getattr(subject.situation.plan, name, None)
        return value

    return read


#: Single values a test can ask for: how to read it, and the request path it comes from. What has no
#: path is not the request's to say; where it is absent, it is simply not that value.
SCALARS: Mapping[str, tuple[Callable[[Subject], Scalar], str | None]] = {
    "provider_type": (lambda s: s.service.provider.type, "provider.type"),
    "provider_npi": (lambda s: s.service.provider.npi, "provider.npi"),
    "billing_provider_type": (lambda s: s.service.billing_provider.type, "billing_provider.type"),
    "billing_provider_npi": (lambda s: s.service.billing_provider.npi, "billing_provider.npi"),
    "state": (lambda s: s.service.state, "state"),
    "network": (lambda s: s.service.network, "network"),
    "place_of_service": (lambda s: s.service.place_of_service, "place_of_service"),
    "purpose": (lambda s: s.service.clinical.purpose, "clinical.purpose"),
    "improving": (lambda s: s.service.clinical.improving, "clinical.improving"),
    "payer": (lambda s: s.situation.payer_id, None),
    "plan": (_of_plan("plan_id"), None),
    "region": (_of_plan("region"), None),
    "market": (_of_plan("market"), None),
    "funding": (_of_plan("funding"), None),
}


@dataclass(frozen=True, slots=True)
class OneOf(Leaf):
    """A single value is one of those named."""

    name: str
    values: frozenset[str | bool]

    def test(self, subject: Subject) -> Verdict:
        """Missing if the request could say it and does not."""
        read, path = SCALARS[self.name]
        value = read(subject)
        if value is None:
            return missing(path) if path else FALSE
        return verdict_of(value in self.values)


def _billing_credentials(subject: Subject) -> frozenset[str] | None:
    stated = subject.service.billing_provider.credentials
    return frozenset(normalise_label(label) for label in stated) or None


#: Lists a test can ask for; None is not said. On the wire an empty list and an absent one are the same,
#: so each list has one meaning for both. Modifiers, attributes and `related_to` name what there is, and
#: empty say that there is none: else a pain related to nothing could never be told. A provider without
#: any credential, or a chart without any item, has not said which.
LISTS: Mapping[str, tuple[Callable[[Subject], frozenset[str] | None], str]] = {
    "credentials": (lambda s: s.credentials, "provider.credentials"),
    "billing_credentials": (_billing_credentials, "billing_provider.credentials"),
    "modifiers": (lambda s: frozenset(s.line.modifiers), "lines[].modifiers"),
    "attributes": (lambda s: frozenset(s.situation.attributes), "attributes"),
    "related_to": (lambda s: frozenset(s.service.clinical.related_to or ()), "clinical.related_to"),
    "documented": (lambda s: s.documented, "clinical.documented"),
}


@dataclass(frozen=True, slots=True)
class ListTest(Leaf):
    """Any, all or none of the named values are in a list."""

    name: str
    mode: Mode
    values: frozenset[str]

    def test(self, subject: Subject) -> Verdict:
        """Missing if the request does not give the list."""
        read, path = LISTS[self.name]
        present = read(subject)
        if present is None:
            return missing(path)
        if self.mode == "all":
            return verdict_of(self.values <= present)
        return verdict_of((self.mode == "any") == (not self.values.isdisjoint(present)))


@dataclass(frozen=True, slots=True)
class DiagnosisTest(Leaf):
    """Any, all, none or the primary of a line's diagnosis codes belong to one of the sets."""

    mode: Literal["any", "all", "none", "primary"]
    sets: tuple[DiagnosisSet, ...]

    def test(self, subject: Subject) -> Verdict:
        """Missing if the line has no diagnosis code: every service has one."""
        diagnoses = subject.diagnoses
        if not diagnoses:
            return missing(DIAGNOSES_PATH)
        if self.mode == "primary":
            return verdict_of(self._holds(diagnoses[0]))
        held = [self._holds(code) for code in diagnoses]
        if self.mode == "all":
            return verdict_of(all(held))
        return verdict_of(any(held) == (self.mode == "any"))

    def _holds(self, code: str) -> bool:
        return any(codes.holds(code) for codes in self.sets)


@dataclass(frozen=True, slots=True)
class CodesTest(Leaf):
    """Any or none of the other lines of this visit, or of this day, bear a code of a set."""

    scope: Literal["visit", "day"]
    mode: Literal["any", "none"]
    codes: ProcedureSet

    def test(self, subject: Subject) -> Verdict:
        """Never missing: the lines of a visit are all there is of it."""
        found = any(
            index != subject.index and line.procedure_code in self.codes
            for index, line in enumerate(subject.service.lines)
        )
        if self.scope == "day" and not found:
            found = any(code in self.codes for code in subject.situation.same_day_codes)
        return verdict_of(found == (self.mode == "any"))


@dataclass(frozen=True, slots=True)
class CodeTest(Leaf):
    """The line's own code belongs to a set."""

    codes: ProcedureSet

    def test(self, subject: Subject) -> Verdict:
        """Never missing."""
        return verdict_of(subject.line.procedure_code in self.codes)


def _onset_days(subject: Subject) -> int | None:
    onset = subject.service.clinical.onset_on
    return None if onset is None else (subject.service.service_date - onset).days


#: Whole numbers a test can ask for, with their request path.
NUMBERS: Mapping[str, tuple[Callable[[Subject], int | None], str]] = {
    "muscles": (lambda s: s.line.muscles, "lines[].muscles"),
    "quantity": (lambda s: s.line.quantity, "lines[].quantity"),
    "onset_days": (_onset_days, "clinical.onset_on"),
    "line_count": (lambda s: len(s.service.lines), "lines"),
}


def _within(value: int, at_least: int | None, at_most: int | None) -> Verdict:
    return verdict_of((at_least is None or value >= at_least) and (at_most is None or value <= at_most))


@dataclass(frozen=True, slots=True)
class NumberTest(Leaf):
    """A whole number lies in `[at_least, at_most]`; a bound that is None is open."""

    name: str
    at_least: int | None = None
    at_most: int | None = None

    def test(self, subject: Subject) -> Verdict:
        """Missing if the request does not give the number."""
        read, path = NUMBERS[self.name]
        value = read(subject)
        return missing(path) if value is None else _within(value, self.at_least, self.at_most)


@dataclass(frozen=True, slots=True)
class VisitNumberTest(Leaf):
    """The number this visit would have in a limit's period lies in a range, and is every n-th if said."""

    limit_id: str
    at_least: int | None = None
    at_most: int | None = None
    every: int | None = None

    def test(self, subject: Subject) -> Verdict:
        """Never missing: a visit without a number is the first."""
        numbers = subject.situation.visit_numbers
        number = next((n for limit_id, n in numbers if limit_id == self.limit_id), 1)
        if self.every is not None and number % self.every != 0:
            return FALSE
        return _within(number, self.at_least, self.at_most)


@dataclass(frozen=True, slots=True)
class DaysSinceFirstVisitTest(Leaf):
    """The days since the first counted visit of a limit's period lie in a range (a course of care)."""

    limit_id: str
    at_least: int | None = None
    at_most: int | None = None

    def test(self, subject: Subject) -> Verdict:
        """Never missing: without an earlier visit this is the first, zero days after itself."""
        on = subject.service.service_date
        dates = subject.situation.first_visit_dates
        first = next((d for limit_id, d in dates if limit_id == self.limit_id), on)
        return _within((on - first).days, self.at_least, self.at_most)


@dataclass(frozen=True, slots=True)
class ServiceDateTest(Leaf):
    """The service date lies in `[start, end)`; a bound that is None is open."""

    start: date | None
    end: date | None

    def test(self, subject: Subject) -> Verdict:
        """Never missing."""
        on = subject.service.service_date
        return verdict_of((self.start is None or on >= self.start) and (self.end is None or on < self.end))


@dataclass(frozen=True, slots=True)
class AuthorizationTest(Leaf):
    """The caller holds an authorization (`present`), and it is valid on the service date (`valid`)."""

    kind: Literal["present", "valid"]

    def test(self, subject: Subject) -> Verdict:
        """Never missing: no authorization stated is none held. A bound not stated is open."""
        authorization = subject.service.authorization
        if authorization is None:
            return FALSE
        if self.kind == "present":
            return TRUE
        on = subject.service.service_date
        begun = authorization.start is None or authorization.start <= on
        return verdict_of(begun and (authorization.end is None or on < authorization.end))


@dataclass(frozen=True, slots=True)
class InjuryTest(Leaf):
    """The service belongs to a named injury."""

    def test(self, subject: Subject) -> Verdict:
        """Missing if no injury is named: the request could name one."""
        return missing("injury_id") if subject.service.injury_id is None else TRUE
