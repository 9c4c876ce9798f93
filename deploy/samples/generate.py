"""Writes the sample data beside this file: the same bytes on every machine.

    python deploy/samples/generate.py

Everything is invented: members, plans, providers, visits. The NPIs begin with 9, which no real one does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = 20_560
# How many days a Saturday and a Sunday are from the next working day.
WEEKEND = {6: 2, 7: 1}
SHP, MEDICA, MEDICARE, CIGNA, LAKES = (
    "security-health-plan",
    "medica-central",
    "medicare",
    "cigna",
    "sample-lakes-health",
)
THERAPIST = {"npi": "9000000101", "type": "physical_therapist"}
OTHER_THERAPIST = {"npi": "9000000102", "type": "physical_therapist"}
CHIROPRACTOR = {"npi": "9000000103", "type": "chiropractor"}
PHYSICIAN = {"npi": "9000000104", "type": "physician"}
DIAGNOSES = ("M54.50", "M54.2", "M79.18", "M25.511", "M77.11", "G44.209")

Json = dict[str, Any]

PAYERS: tuple[Json, ...] = ({"payer_id": LAKES, "name": "Sample Lakes Health (invented)"},)


def _plan(payer_id: str, plan_id: str, name: str, funding: str, market: str, start: str = "01-01") -> Json:
    return {
        "payer_id": payer_id,
        "plan_id": plan_id,
        "name": name,
        "funding": funding,
        "market": market,
        "plan_year_start": start,
    }


PLANS: tuple[Json, ...] = (
    _plan(SHP, "sample-employer", "Sample employer plan", "fully_insured", "group"),
    _plan(SHP, "sample-employer-july", "Sample employer plan from July", "fully_insured", "group", "07-01"),
    _plan(SHP, "sample-self-funded", "Sample self-funded plan", "self_funded", "group"),
    _plan(MEDICA, "sample-employer", "Sample Medica Central employer plan", "fully_insured", "group"),
    _plan(MEDICARE, "sample-medicare", "Sample Original Medicare", "government", "medicare"),
    _plan(CIGNA, "sample-employer", "Sample Cigna employer plan", "fully_insured", "group"),
    _plan(LAKES, "sample-employer", "Sample Lakes employer plan", "fully_insured", "group"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An invented member: one enrollment, and how many visits spread over which span.

    `visits` lie in `[first, last]`; of `odd`, the visit of each number (from 1) differs as said.
    """

    number: int
    payer_id: str
    plan_id: str
    visits: int
    first: date
    last: date
    until: date | None = None
    provider: Json = field(default_factory=lambda: THERAPIST)
    diagnosis: str | None = None
    clinical: Json | None = None
    odd: dict[int, Json] = field(default_factory=dict)

    @property
    def member_id(self) -> str:
        """Such as SAMPLE-0001."""
        return f"SAMPLE-{self.number:04}"


def _year(number: int, payer_id: str, plan_id: str, visits: int, **more: Any) -> Member:
    return Member(
        number=number,
        payer_id=payer_id,
        plan_id=plan_id,
        visits=visits,
        first=date(2026, 1, 5),
        last=date(2026, 12, 18),
        **more,
    )


NO_SHOW: Json = {"visit_status": "no_show"}
CANCELLED: Json = {"visit_status": "cancelled"}
SELF_PAY: Json = {"self_pay": True}
BACK_PAIN: Json = {"onset_on": "2025-09-15", "improving": True, "related_to": [], "documented": []}

MEMBERS: tuple[Member, ...] = (
    # Reaches the limit and goes on: 24 visits, of which 20 count.
    _year(1, SHP, "sample-employer", 24),
    # Exactly the limit.
    _year(2, SHP, "sample-employer", 20),
    # One short of it, with a no-show, a cancellation and a visit paid by the member.
    _year(3, SHP, "sample-employer", 22, odd={4: NO_SHOW, 9: CANCELLED, 15: SELF_PAY}),
    _year(4, SHP, "sample-employer", 16, odd={7: SELF_PAY, 8: SELF_PAY}),
    _year(5, SHP, "sample-employer", 12, provider=CHIROPRACTOR),
    _year(6, SHP, "sample-employer", 18, odd={5: NO_SHOW}),
    _year(7, SHP, "sample-employer", 9),
    _year(8, SHP, "sample-employer", 14),
    _year(9, SHP, "sample-employer", 3),
    # Left the plan at the end of June; later visits find no enrollment.
    _year(10, SHP, "sample-employer", 15, until=date(2026, 7, 1)),
    _year(11, SHP, "sample-employer", 21),
    # A plan year from July 1: 26 visits in the calendar year, and none over the limit.
    Member(
        number=12,
        payer_id=SHP,
        plan_id="sample-employer-july",
        visits=26,
        first=date(2026, 1, 6),
        last=date(2026, 12, 17),
    ),
    _year(13, SHP, "sample-employer-july", 10),
    _year(14, SHP, "sample-employer-july", 17, odd={3: NO_SHOW}),
    # Self-funded: the payer's page does not speak of such plans.
    _year(15, SHP, "sample-self-funded", 12),
    _year(16, SHP, "sample-self-funded", 6),
    _year(17, MEDICA, "sample-employer", 8),
    _year(18, MEDICA, "sample-employer", 5, odd={2: SELF_PAY}),
    # Chronic low back pain, treated by a physician, and by a physical therapist.
    _year(19, MEDICARE, "sample-medicare", 11, provider=PHYSICIAN, diagnosis="M54.50", clinical=BACK_PAIN),
    _year(20, MEDICARE, "sample-medicare", 6, provider=THERAPIST, diagnosis="M54.50", clinical=BACK_PAIN),
    _year(21, MEDICARE, "sample-medicare", 4, provider=PHYSICIAN, diagnosis="M54.2", clinical=BACK_PAIN),
    _year(22, CIGNA, "sample-employer", 10),
    _year(23, CIGNA, "sample-employer", 7, provider=CHIROPRACTOR),
    # A payer of which no rule document is known.
    _year(24, LAKES, "sample-employer", 6),
)

# Visits corrected or voided later: member number, visit number, what the correction changes, or None for
# a void. Member 8's sixth visit was entered with a wrong date, its seventh twice.
AFTERTHOUGHTS: tuple[tuple[int, int, Json | None], ...] = (
    (8, 6, {"service_date": "2026-05-29"}),
    (8, 7, None),
    (6, 10, {"lines": [{"procedure_code": "20561", "diagnosis_codes": ["M54.2"], "muscles": 4}]}),
    (7, 9, {"visit_status": "no_show"}),
    # Two of the visits that counted are voided: two that were over the limit count then.
    (1, 3, None),
    (1, 11, None),
    (5, 12, None),
    (12, 1, {"provider": OTHER_THERAPIST}),
    (14, 17, {"self_pay": True}),
    (22, 2, None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An event with the day on which the EHR sends it, and its place among that day's."""

    on: date
    order: int
    event: Json


def visits(member: Member, dice: random.Random) -> Iterator[Json]:
    """What the EHR knows of each visit of a member, in order of date."""
    for number, on in enumerate(_dates(member, dice), start=1):
        muscles = dice.choice((1, 2, 2, 3, 4))
        diagnosis = member.diagnosis or dice.choice(DIAGNOSES)
        visit: Json = {
            "visit_id": f"sample-visit-{member.number:04}-{number:02}",
            "payer_id": member.payer_id,
            "member_id": member.member_id,
            "service_date": on.isoformat(),
            "lines": [
                {
                    "procedure_code": "20561" if muscles > 2 else "20560",
                    "quantity": 1,
                    "diagnosis_codes": [diagnosis],
                    "muscles": muscles,
                }
            ],
            "provider": member.provider,
            "state": "WI",
            "place_of_service": "11",
            "network": "in",
        }
        if member.clinical is not None:
            visit["clinical"] = member.clinical
        yield visit | member.odd.get(number, {})


def _dates(member: Member, dice: random.Random) -> list[date]:
    """Weekdays spread over the member's span, no two alike."""
    span = (member.last - member.first).days
    step = span / member.visits
    found: list[date] = []
    for number in range(member.visits):
        day = member.first + timedelta(days=int(number * step) + dice.randint(0, max(0, int(step) - 3)))
        day += timedelta(days=WEEKEND.get(day.isoweekday(), 0))
        found.append(max(day, found[-1] + timedelta(days=1)) if found else day)
    return found


def sent_events() -> list[Json]:
    """Every event, in the order in which the EHR sends them: visits some days after they took place."""
    dice = random.Random(SEED)  # noqa: S311 - not for secrets: it must fall the same each time
    sent: list[Sent] = []
    known: dict[tuple[int, int], Json] = {}
    for member in MEMBERS:
        for number, visit in enumerate(visits(member, dice), start=1):
            known[member.number, number] = visit
            on = date.fromisoformat(visit["service_date"]) + timedelta(days=dice.choice((0, 0, 0, 1, 2, 4)))
            sent.append(Sent(on=on, order=len(sent), event={"type": "visit.recorded", **visit}))
    for member_number, number, change in AFTERTHOUGHTS:
        visit = known[member_number, number]
        on = date.fromisoformat(visit["service_date"]) + timedelta(days=20)
        sent.append(Sent(on=on, order=len(sent), event=_afterthought(visit, change)))
    ordered = sorted(sent, key=lambda item: (item.on, item.order))
    return [
        {"event_id": f"sample-event-{number:04}", **item.event}
        for number, item in enumerate(ordered, start=1)
    ]


def _afterthought(visit: Json, change: Json | None) -> Json:
    if change is None:
        return {"type": "visit.voided", "visit_id": visit["visit_id"], "payer_id": visit["payer_id"]}
    return {"type": "visit.corrected", **visit, **change}


def enrollments() -> list[Json]:
    """Each member's one span, from before the first visit."""
    return [
        {
            "payer_id": member.payer_id,
            "member_id": member.member_id,
            "spans": [
                {
                    "plan_id": member.plan_id,
                    "start": "2025-01-01",
                    "end": member.until.isoformat() if member.until else None,
                    "attributes": [],
                }
            ],
        }
        for member in MEMBERS
    ]


def files() -> dict[str, str]:
    """The text of each file, by name."""
    return {
        "payers.json": _list_text(PAYERS),
        "plans.json": _list_text(PLANS),
        "enrollments.json": _list_text(enrollments()),
        "visit-events.ndjson": "".join(f"{json.dumps(event)}\n" for event in sent_events()),
    }


def _list_text(items: Sequence[Json] | Iterable[Json]) -> str:
    """A JSON list with an item on each line, so that a change shows as the line it is."""
    return "[\n" + ",\n".join(f"  {json.dumps(item)}" for item in items) + "\n]\n"


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="utf-8")
