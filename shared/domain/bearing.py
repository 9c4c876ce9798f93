"""What of a service bears on its answer; the rest is taken out before anybody asks the rules.

Answers and evaluations are remembered by what they follow from, and most of what clinics send differs from
one to the next without any rule in force reading it: who treats, the authorization's number, the very day of
the onset, a diagnosis in no list. The rules and the limits are handed the service without all that, so what
was taken out cannot have decided anything. That it would not have either is what the tests of this show, for
each condition that there is. Besides, rules mostly do not tell one date from another, nor three units from
two; limits do, so that only evaluations are asked for of the first of its like.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from shared.domain.code_sets import DiagnosisSet, normalise_diagnosis
from shared.domain.evaluation import Situation
from shared.domain.guidance import FrequencyAdvice
from shared.domain.predicate_tests import (
    DaysSinceFirstVisitTest,
    DiagnosisTest,
    InjuryTest,
    ListTest,
    NumberTest,
    OneOf,
)
from shared.domain.record import record
from shared.domain.rule_document import RuleDocument
from shared.domain.service import Authorization, Clinical, Provider, Service, ServiceLine


@record(frozen=True, slots=True, kw_only=True)
class Turns:
    """Where a catalog's evaluations may turn, whichever of its documents speak of a plan.

    `dates` are those from which on something in the catalog holds or does not hold any more, `muscles` the
    numbers from which on a code fits or does not, both in order; `frequency` looks at the member's other
    dates.
    """

    dates: tuple[date, ...] = ()
    muscles: tuple[int, ...] = ()
    frequency: FrequencyAdvice | None = None

    def crowding(self, on: date, recent: tuple[date, ...], stands_for: date) -> tuple[date, ...]:
        """The member's other dates, as far as they bear on a service on `on`: whether they are too many.

        If so they are as many as that takes, of `stands_for`, the date that stands for `on`.
        """
        if not recent or self.frequency is None or self.frequency.advisory(on, recent) is None:
            return ()
        return (stands_for,) * self.frequency.visits_max


#: Stands for a number or an id that is only there or not.
_NAMED = "-"
#: Diagnosis codes remembered with what they come to: more than any catalog's payers use in a day.
_CUTS_MAX = 10_000


class Bearing:
    """What documents that speak of a plan read of a service, besides its codes, its date and where it is."""

    def __init__(self, documents: Sequence[RuleDocument], turns: Turns) -> None:
        """Gather what the conditions, limits and terms of `documents` ask for."""
        leaves = tuple(leaf for document in documents for leaf in document.leaves)
        self._read = frozenset(
            leaf.name for leaf in leaves if isinstance(leaf, OneOf | ListTest | NumberTest)
        )
        self._diagnoses: tuple[DiagnosisSet, ...] = tuple(
            dict.fromkeys(codes for leaf in leaves if isinstance(leaf, DiagnosisTest) for codes in leaf.sets)
        )
        self._modifiers = frozenset[str]().union(
            *(leaf.values for leaf in leaves if isinstance(leaf, ListTest) and leaf.name == "modifiers")
        )
        numbers = [leaf for leaf in leaves if isinstance(leaf, NumberTest)]
        limits = [rule.limit for document in documents for rule in document.limits]
        self._onset_days = _turning_points(numbers, "onset_days")
        self._muscles = sorted({*turns.muscles, *_turning_points(numbers, "muscles")})
        # From two units on, there may be too many of a code that is billed once.
        self._quantities = sorted({1, 2, *_turning_points(numbers, "quantity")})
        self._counts_units = any(limit.measure == "unit" for limit in limits)
        self._turns = turns
        self._dated = frozenset(leaf.limit_id for leaf in leaves if isinstance(leaf, DaysSinceFirstVisitTest))
        self._bases = frozenset(limit.basis for limit in limits)
        self._asks_injury = any(isinstance(leaf, InjuryTest) for leaf in leaves)
        self._filings = tuple(
            {
                (filing.amount, filing.unit): filing
                for document in documents
                for filing in document.timely_filing
            }.values()
        )
        self._cuts: dict[str, str] = {}

    def situation(self, situation: Situation) -> Situation:
        """A situation as far as it bears on its evaluation."""
        service = self.service(situation.service)
        on = service.service_date
        received_on = self._received(situation.received_on, on)
        first_visit_dates = tuple(item for item in situation.first_visit_dates if item[0] in self._dated)
        alone = received_on is None and not first_visit_dates
        service = self._evaluated(service, self._day_like(service) if alone else on)
        return Situation(
            payer_id=situation.payer_id,
            plan=situation.plan,
            enrollment=situation.enrollment,
            attributes=situation.attributes if "attributes" in self._read else (),
            service=service,
            visit_numbers=situation.visit_numbers,
            first_visit_dates=first_visit_dates,
            recent_service_dates=self._turns.crowding(
                on, situation.recent_service_dates, service.service_date
            ),
            same_day_codes=situation.same_day_codes,
            received_on=received_on,
        )

    def _day_like(self, service: Service) -> date:
        """The first date that no rule tells from the service's own, if the onset can be as far before it."""
        on, dates, onset_on = service.service_date, self._turns.dates, service.clinical.onset_on
        place = bisect_right(dates, on)
        day = dates[place - 1] if place else on
        return on if onset_on is not None and day - date.min < on - onset_on else day

    def _evaluated(self, service: Service, day: date) -> Service:
        """A service on `day`, its other dates as far from it, its numbers the least of their like."""
        clinical, authorization = service.clinical, service.authorization
        back = service.service_date - day
        if back and clinical.onset_on is not None:
            clinical = replace(clinical, onset_on=clinical.onset_on - back)
        if authorization is not None and authorization.end is not None:
            authorization = Authorization(number=authorization.number, end=day)
        return Service(
            service_date=day,
            lines=tuple(self._counted(line) for line in service.lines),
            provider=service.provider,
            state=service.state,
            place_of_service=service.place_of_service,
            network=service.network,
            clinical=clinical,
            authorization=authorization,
            injury_id=service.injury_id,
            billing_provider=service.billing_provider,
        )

    def _counted(self, line: ServiceLine) -> ServiceLine:
        quantity, muscles = line.quantity, line.muscles
        return ServiceLine(
            procedure_code=line.procedure_code,
            quantity=quantity if self._counts_units else _lowest(self._quantities, quantity),
            modifiers=line.modifiers,
            diagnosis_codes=line.diagnosis_codes,
            muscles=None if muscles is None else _lowest(self._muscles, muscles),
        )

    def service(self, service: Service) -> Service:
        """A service as far as it bears on its evaluation, and on which of its limits' periods it falls in."""
        read, on = self._read, service.service_date
        injury_id = service.injury_id
        if injury_id is not None and "injury" not in self._bases:
            injury_id = _NAMED if self._asks_injury else None
        return Service(
            service_date=on,
            lines=tuple(self._line(line) for line in service.lines),
            provider=self._provider(service.provider),
            state=service.state,
            place_of_service=service.place_of_service if "place_of_service" in read else None,
            network=service.network if "network" in read else None,
            clinical=self._clinical(service.clinical, on),
            authorization=self._authorization(service.authorization, on),
            injury_id=injury_id,
            billing_provider=self._biller(service.billing_provider),
        )

    def _provider(self, provider: Provider) -> Provider:
        if provider.npi is None or "provider_npi" in self._read:
            return provider
        return Provider(type=provider.type, credentials=provider.credentials)

    def _biller(self, biller: Provider) -> Provider:
        read = self._read
        return Provider(
            npi=biller.npi if "billing_provider_npi" in read else None,
            type=biller.type if "billing_provider_type" in read else None,
            credentials=biller.credentials if "billing_credentials" in read else (),
        )

    def _line(self, line: ServiceLine) -> ServiceLine:
        modifiers = line.modifiers and tuple(sorted(self._modifiers.intersection(line.modifiers)))
        diagnoses: tuple[str, ...] = ()
        if self._diagnoses and line.diagnosis_codes:
            primary, *others = [self._cut(code) for code in line.diagnosis_codes]
            diagnoses = (primary, *sorted(set(others) - {primary}))
        return ServiceLine(
            procedure_code=line.procedure_code,
            quantity=line.quantity,
            modifiers=modifiers,
            diagnosis_codes=diagnoses,
            muscles=line.muscles,
        )

    def _cut(self, code: str) -> str:
        """The shortest beginning of a diagnosis code that is in the same sets; empty if it is in none."""
        cut = self._cuts.get(code)
        if cut is None:
            whole = normalise_diagnosis(code)
            sets = self._sets(whole)
            cut = next(
                whole[:length] for length in range(len(whole) + 1) if self._sets(whole[:length]) == sets
            )
            if len(self._cuts) >= _CUTS_MAX:
                self._cuts.clear()
            self._cuts[code] = cut
        return cut

    def _sets(self, code: str) -> list[bool]:
        return [codes.holds(code) for codes in self._diagnoses]

    def _clinical(self, clinical: Clinical, on: date) -> Clinical:
        read, onset_on = self._read, clinical.onset_on
        if onset_on is not None:
            onset_on = self._onset(onset_on, on) if "onset_days" in read else None
        return Clinical(
            onset_on=onset_on,
            improving=clinical.improving if "improving" in read else None,
            purpose=clinical.purpose if "purpose" in read else None,
            related_to=clinical.related_to if "related_to" in read else None,
            documented=clinical.documented,
        )

    def _onset(self, onset_on: date, on: date) -> date:
        """The latest onset that no condition tells from this one, as seen from the service date `on`."""
        days = (on - onset_on).days
        place = bisect_right(self._onset_days, days)
        if place:
            return on - timedelta(days=self._onset_days[place - 1])
        return on if days >= 0 else onset_on

    def _received(self, received_on: date | None, on: date) -> date | None:
        """The first day on which a visit of the date `on` is as late as it is."""
        if received_on is None or not self._filings:
            return None
        over = [day for filing in self._filings if (day := filing.last_day(on)) < received_on]
        return max(over) + timedelta(days=1) if over else on

    def _authorization(self, authorization: Authorization | None, on: date) -> Authorization | None:
        if authorization is None:
            return None
        number = authorization.number if "authorization" in self._bases else _NAMED
        # Whether it covers the service date is all that anybody asks of its dates.
        return Authorization(number=number, end=None if authorization.covers(on) else on)


def _lowest(points: Sequence[int], number: int) -> int:
    """The lowest number that none of the turning points comes between; a number below all is itself."""
    place = bisect_right(points, number)
    return points[place - 1] if place else number


def _turning_points(tests: Iterable[NumberTest], name: str) -> tuple[int, ...]:
    """The numbers from which on some test of what has this name says otherwise than just below, in order."""
    return turning_points((test.at_least, test.at_most) for test in tests if test.name == name)


def turning_points(ranges: Iterable[tuple[int | None, int | None]]) -> tuple[int, ...]:
    """Where ranges of whole numbers, with both ends or open, begin and are over, in order."""
    points: set[int] = set()
    for low, high in ranges:
        if low is not None:
            points.add(low)
        if high is not None:
            points.add(high + 1)
    return tuple(sorted(points))
