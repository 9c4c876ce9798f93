"""The story of the tour: what is asked and reported, in order, and what each answer has to be.

Members and ids are fresh each time, so that it can be played again on the same service. Dates are
fixed: no count and no decision looks at today (contract section 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from services.operator_cli.tour.json_text import fields
from services.operator_cli.tour.step import Expectation, Step

SHP = "security-health-plan"
MEDICA = "medica-central"
CIGNA = "cigna"
PLANS = {
    SHP: {"name": "Sample employer plan (tour)", "funding": "fully_insured", "market": "group"},
    MEDICA: {"name": "Sample Medica Central plan (tour)", "funding": "fully_insured", "market": "group"},
    CIGNA: {"name": "Sample Cigna plan (tour)", "funding": "fully_insured", "market": "group"},
}
PLAN_ID = "sample-tour-employer"
ALLOWED = 20
FIRST_VISIT_ON = date(2026, 1, 12)
DAYS_BETWEEN_VISITS = 14
NEW_YEAR = date(2027, 1, 1)
# An invented number: real ones begin with 1 or 2.
PROVIDER = {"npi": "9000000001", "type": "physical_therapist"}

# The first check, visit and answers are shown in detail; of what follows, what is new in it.
_CHECK_IN_DETAIL = fields(
    "check_id",
    "decision",
    "prior_authorization",
    "conditions",
    reasons=fields(
        "code", "text", "carc", "rarc", source=fields("document_id", "version", "authority", "citation")
    ),
    accumulators=fields("limit_id", "measure", "period", "allowed", "used", "held", "remaining"),
)
_ACCUMULATOR = fields("period", "allowed", "used", "remaining", period=fields("start"))
_CHECK_IN_SHORT = fields(
    "decision",
    "prior_authorization",
    reasons=fields("code", "text", "carc", "rarc"),
    accumulators=_ACCUMULATOR,
)
_CHECK_REQUEST_IN_SHORT = fields("payer_id", "member_id", "service_date")
_RECEIPT_IN_DETAIL = fields(
    "event_id",
    "status",
    outcome=fields("disposition", reasons=fields("code", "text", "carc", "rarc"), accumulators=None),
)
_RECEIPT_IN_SHORT = fields(
    "status",
    outcome=fields(
        "disposition",
        reasons=fields("code", "carc", "rarc"),
        accumulators=fields("used_before", "used_after", "allowed"),
    ),
)
_EVENT_IN_SHORT = fields("event_id", "type", "service_date")
_BATCH_REQUEST = fields(events=_EVENT_IN_SHORT)
_BATCH_ANSWER = fields(results=fields("status", receipt=fields("event_id", "status")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The steps for one playing. `run_id` is part of every id that must be new."""

    run_id: str

    def steps(self) -> Iterator[Step]:
        """All steps, in order."""
        yield from self._enrolled(SHP)
        yield from self._first_visit()
        yield from self._to_the_twentieth()
        yield from self._beyond()
        yield from self._other_payers()

    def member(self, payer_id: str) -> str:
        """The tour's member of a payer."""
        return f"SAMPLE-TOUR-{self.run_id}-{1 + list(PLANS).index(payer_id)}"

    def _enrolled(self, payer_id: str) -> Iterator[Step]:
        yield Step(
            title=f"A plan of {payer_id}",
            role="admin",
            method="PUT",
            path=f"/v1/payers/{payer_id}/plans/{PLAN_ID}",
            body=PLANS[payer_id],
            statuses=(201, 200),
            answer_shown=fields("plan_id", "plan_year_start", "carry_over"),
            expects=(Expectation(place="plan_year_start", value="01-01"),),
        )
        yield Step(
            title="A member enrolled in it",
            role="admin",
            method="PUT",
            path="/v1/enrollments",
            body={
                "payer_id": payer_id,
                "member_id": self.member(payer_id),
                "spans": [{"plan_id": PLAN_ID, "start": "2026-01-01", "end": None, "attributes": []}],
            },
            statuses=(200,),
            answer_shown=fields("payer_id", "member_id"),
        )

    def _first_visit(self) -> Iterator[Step]:
        check = self._check(
            "Is the first visit covered?", FIRST_VISIT_ON, decision="covered_with_conditions", used=0
        )
        yield replace(check, request_shown=None, answer_shown=_CHECK_IN_DETAIL)
        visit = self._visit(
            "The visit took place: the EHR reports it, and waits for the outcome", 1, _counted(1)
        )
        yield replace(visit, request_shown=None, answer_shown=_RECEIPT_IN_DETAIL)
        yield replace(
            visit,
            title="The same event again, as after a lost answer: it counts once",
            expects=(Expectation(place="header.idempotent-replay", value="true"), *visit.expects),
        )
        yield self._check(
            "Is the second visit covered?", _date_of(2), decision="covered_with_conditions", used=1
        )

    def _to_the_twentieth(self) -> Iterator[Step]:
        numbers = range(2, ALLOWED)
        yield Step(
            title=f"Visits 2 to {ALLOWED - 1}, reported in one batch",
            role="ehr",
            method="POST",
            path="/v1/visit-events/batch",
            body={"events": [self._event(number) for number in numbers]},
            statuses=(200,),
            request_shown=_BATCH_REQUEST,
            answer_shown=_BATCH_ANSWER,
            expects=(Expectation(place="results.*.status", value=202),),
        )
        last = self._event(ALLOWED - 1)["event_id"]
        applied = Expectation(place="status", value="applied")
        yield Step(
            title="What became of the last of them?",
            role="ehr",
            method="GET",
            path=f"/v1/visit-events/{last}",
            statuses=(200,),
            answer_shown=_RECEIPT_IN_SHORT,
            repeat_until=applied,
            expects=(applied, *_counted(ALLOWED - 1)),
        )
        yield self._check(
            f"Is visit {ALLOWED} covered?",
            _date_of(ALLOWED),
            decision="covered_with_conditions",
            used=ALLOWED - 1,
        )
        yield self._visit(f"Visit {ALLOWED} took place", ALLOWED, _counted(ALLOWED))

    def _beyond(self) -> Iterator[Step]:
        number = ALLOWED + 1
        yield self._check(
            f"Is visit {number} covered?",
            _date_of(number),
            decision="not_covered",
            used=ALLOWED,
            more=(
                Expectation(place="reasons.0.code", value="limit_exhausted"),
                Expectation(place="reasons.0.carc", value="119"),
            ),
        )
        yield self._visit(
            f"Visit {number} took place all the same: it is kept, and not counted",
            number,
            (
                Expectation(place="outcome.disposition", value="over_limit"),
                Expectation(place="outcome.reasons.0.carc", value="119"),
                Expectation(place="outcome.accumulators.0.used_after", value=ALLOWED),
            ),
        )
        yield Step(
            title="The payer's portal reads the same count",
            role="portal",
            method="POST",
            path="/v1/accumulators/search",
            body={
                "payer_id": SHP,
                "member_id": self.member(SHP),
                "service_date": (NEW_YEAR - timedelta(days=1)).isoformat(),
            },
            statuses=(200,),
            answer_shown=fields(accumulators=_ACCUMULATOR),
            expects=(
                Expectation(place="accumulators.0.used", value=ALLOWED),
                Expectation(place="accumulators.0.remaining", value=0),
            ),
        )
        yield self._check(
            "January 1: the new plan year counts from 0",
            NEW_YEAR,
            decision="covered_with_conditions",
            used=0,
            more=(
                Expectation(place="accumulators.0.period.start", value="2027-01-01"),
                Expectation(place="accumulators.0.remaining", value=ALLOWED),
            ),
        )

    def _other_payers(self) -> Iterator[Step]:
        yield from self._enrolled(MEDICA)
        yield self._check(
            "Another payer: Medica Central's policy does not cover it",
            FIRST_VISIT_ON,
            payer_id=MEDICA,
            decision="not_covered",
            more=(
                Expectation(place="reasons.0.code", value="investigational"),
                Expectation(place="reasons.0.carc", value="55"),
                Expectation(place="prior_authorization", value="not_applicable"),
            ),
        )
        yield from self._enrolled(CIGNA)
        yield self._check(
            "A payer whose policy is not known here: no guess",
            FIRST_VISIT_ON,
            payer_id=CIGNA,
            decision="unknown_verify_with_plan",
            more=(Expectation(place="prior_authorization", value="unknown"),),
        )

    def _check(
        self,
        title: str,
        on: date,
        *,
        decision: str,
        payer_id: str = SHP,
        used: int | None = None,
        more: tuple[Expectation, ...] = (),
    ) -> Step:
        counts = () if used is None else (Expectation(place="accumulators.0.used", value=used),)
        return Step(
            title=title,
            role="ehr",
            method="POST",
            path="/v1/eligibility-checks",
            body={"payer_id": payer_id, "member_id": self.member(payer_id), **_service(on)},
            statuses=(201,),
            request_shown=_CHECK_REQUEST_IN_SHORT,
            answer_shown=_CHECK_IN_SHORT,
            expects=(Expectation(place="decision", value=decision), *counts, *more),
        )

    def _visit(self, title: str, number: int, expects: tuple[Expectation, ...]) -> Step:
        return Step(
            title=title,
            role="ehr",
            method="POST",
            path="/v1/visit-events",
            headers={"Prefer": "wait=10"},
            body=self._event(number),
            statuses=(200,),
            request_shown=_EVENT_IN_SHORT,
            answer_shown=_RECEIPT_IN_SHORT,
            expects=expects,
        )

    def _event(self, number: int) -> dict[str, Any]:
        return {
            "event_id": f"tour-{self.run_id}-event-{number:02}",
            "type": "visit.recorded",
            "visit_id": f"tour-{self.run_id}-visit-{number:02}",
            "payer_id": SHP,
            "member_id": self.member(SHP),
            **_service(_date_of(number)),
        }


def _counted(number: int) -> tuple[Expectation, ...]:
    """The outcome of the member's visit of this number within the limit."""
    return (
        Expectation(place="outcome.disposition", value="counted"),
        Expectation(place="outcome.accumulators.0.used_before", value=number - 1),
        Expectation(place="outcome.accumulators.0.used_after", value=number),
    )


def _date_of(number: int) -> date:
    """The date of the visit of this number, from 1; the twenty-first is still in the same year."""
    return FIRST_VISIT_ON + timedelta(days=DAYS_BETWEEN_VISITS * (number - 1))


def _service(on: date) -> dict[str, Any]:
    return {
        "service_date": on.isoformat(),
        "lines": [{"procedure_code": "20560", "diagnosis_codes": ["M54.50"], "muscles": 2}],
        "provider": PROVIDER,
        "state": "WI",
        "place_of_service": "11",
        "network": "in",
    }
