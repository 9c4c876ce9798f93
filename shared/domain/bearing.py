"""What of a service bears on its answer; the rest is taken out before anybody asks the rules.

Answers and evaluations are remembered by what they follow from, and most of what clinics send differs from
one to the next without any rule in force reading it: who treats, the authorization's number, the very day of
the onset, a diagnosis in no list. The rules and the limits are handed the service without all that, so what
was taken out cannot have decided anything. That it would not have either is what the tests of this show, for
each condition that there is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
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
from shared.domain.rule_document import RuleDocument
from shared.domain.service import Authorization, Clinical, Provider, Service, ServiceLine

#: Stands for a number or an id that is only there or not.
_NAMED = "-"
#: Diagnosis codes remembered with what they come to: more than any catalog's payers use in a day.
_CUTS_MAX = 10_000


class Bearing:
    """What documents that speak of a plan read of a service, besides its codes, its date and where it is."""

    def __init__(self, documents: Iterable[RuleDocument]) -> None:
        """Gather what the conditions, limits and terms of `documents` ask for."""
        documents = tuple(documents)
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
        self._onset_days = _turning_points(
            leaf for leaf in leaves if isinstance(leaf, NumberTest) and leaf.name == "onset_days"
        )
        self._dated = frozenset(leaf.limit_id for leaf in leaves if isinstance(leaf, DaysSinceFirstVisitTest))
        self._bases = frozenset(rule.limit.basis for document in documents for rule in document.limits)
        self._asks_injury = any(isinstance(leaf, InjuryTest) for leaf in leaves)
        self._filings = tuple(
            {(filing.amount, filing.unit): filing for d in documents for filing in d.timely_filing}.values()
        )
        self._cuts: dict[str, str] = {}

    def situation(self, situation: Situation, frequency: FrequencyAdvice | None) -> Situation:
        """A situation as far as it bears on its evaluation. `frequency` is what looks at the other dates."""
        on, recent = situation.service.service_date, situation.recent_service_dates
        if recent and (frequency is None or frequency.advisory(on, recent) is None):
            recent = ()
        return Situation(
            payer_id=situation.payer_id,
            plan=situation.plan,
            enrollment=situation.enrollment,
            attributes=situation.attributes if "attributes" in self._read else (),
            service=self.service(situation.service),
            visit_numbers=situation.visit_numbers,
            first_visit_dates=tuple(item for item in situation.first_visit_dates if item[0] in self._dated),
            # However many they are, they are too many.
            recent_service_dates=(on,) * frequency.visits_max if recent and frequency else (),
            same_day_codes=situation.same_day_codes,
            received_on=self._received(situation.received_on, on),
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


def _turning_points(tests: Iterable[NumberTest]) -> tuple[int, ...]:
    """The numbers from which on some test says otherwise than just below, in order."""
    points: set[int] = set()
    for test in tests:
        if test.at_least is not None:
            points.add(test.at_least)
        if test.at_most is not None:
            points.add(test.at_most + 1)
    return tuple(sorted(points))
