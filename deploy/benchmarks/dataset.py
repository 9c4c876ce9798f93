"""The members and visits that the figures are measured on: made up, spread evenly, the same each time."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import psycopg

PAYER = "security-health-plan"
PLAN = "benchmark"
#: The first service date; a member's visits follow it at distances, so none looks like another's double.
FIRST_DAY = date(2026, 1, 5)
#: Checks ask about dates from here on, as clinics ask for the visits of their next two weeks.
CHECKED_FROM = date(2026, 11, 30)
CHECKED_DAYS = 14
CODES = ("20560", "20561")
DIAGNOSES = ("M54.50", "M54.2", "M25.511", "M79.18", "M62.838")
PROVIDER_TYPES = ("physical_therapist", "physician")
#: What `first_checks` draws besides dates and codes. All of it may change an answer, so that none is taken
#: for another: a chart item that is not there is asked for.
FIRST_PROVIDER_TYPES = (*PROVIDER_TYPES, "chiropractor", "physician_assistant", "nurse_practitioner")
FIRST_STATES = ("WI", "MN", "MI", "IL", "IA", "CA")
FIRST_MUSCLES = (1, 2, 3, 4)
FIRST_QUANTITIES = (1, 2, 3)
CHART_ITEMS = ("informed_consent", "contraindication_screening", "medical_necessity")

Json = dict[str, Any]

_MEMBERS = """
insert into member (payer_id, member_id)
select %(payer)s, 'BENCH-' || lpad(n::text, 8, '0') from generate_series(0, %(count)s - 1) as n
"""
_ENROLLMENTS = """
insert into enrollment (payer_id, member_id, plan_id, starts_on)
select payer_id, member_id, %(plan)s, '2020-01-01' from member where payer_id = %(payer)s
"""
_PLAN = """
insert into plan (payer_id, plan_id, name, funding, market, plan_year_start, carry_over)
values (%(payer)s, %(plan)s, 'Benchmark plan', 'fully_insured', 'group', '01-01', 'none')
"""


def generator(seed: int) -> random.Random:
    """Numbers that are the same in every run."""
    return random.Random(seed)  # noqa: S311 - nothing here is secret


def add_members(database_url: str, count: int) -> None:
    """Put `count` members, each enrolled since 2020, into a database that has none of them."""
    given = {"payer": PAYER, "plan": PLAN, "count": count}
    with psycopg.connect(database_url) as connection:
        for statement in (_PLAN, _MEMBERS, _ENROLLMENTS):
            connection.execute(statement, given)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")


def member_id(number: int) -> str:
    """The id of a member by its number, from 0."""
    return f"BENCH-{number:08d}"


def _service(
    member: int,
    on: date,
    code: str = CODES[0],
    diagnosis: str = DIAGNOSES[0],
    provider_type: str = PROVIDER_TYPES[0],
) -> Json:
    return {
        "payer_id": PAYER,
        "member_id": member_id(member),
        "service_date": on.isoformat(),
        "lines": [
            {"procedure_code": code, "quantity": 1, "diagnosis_codes": [diagnosis], "muscles": 2},
        ],
        "provider": {"npi": "9000000101", "type": provider_type},
        "state": "WI",
        "place_of_service": "11",
        "network": "in",
    }


def checks(members: int, count: int, seed: int) -> list[str]:
    """The bodies of checks of members drawn evenly from the first `members`.

    What is asked is drawn too, evenly from 280 different things, of which the rules tell 56 apart; of each
    there is an answer for each way in which members stand.
    """
    return [json.dumps(asked) for asked in _checks(generator(seed), members, count)]


def first_checks(members: int, count: int, seed: int) -> list[str]:
    """Checks that hardly anybody asked before: of what may change an answer, each draws its own.

    There are 80,640 things to ask, each as likely, and of each an answer for each way in which members stand:
    ten times more than answers are remembered. What the rules say before anybody counts is remembered apart,
    and soon known: they tell a few thousand of these things from each other.
    """
    draw = generator(seed)
    return [json.dumps(_drawn_apart(draw, asked)) for asked in _checks(draw, members, count)]


def _drawn_apart(draw: random.Random, asked: Json) -> Json:
    [line] = asked["lines"]
    counted = {"muscles": draw.choice(FIRST_MUSCLES), "quantity": draw.choice(FIRST_QUANTITIES)}
    charted = [item for item in CHART_ITEMS if draw.random() < 0.5]
    return {
        **asked,
        "lines": [{**line, **counted}],
        "provider": {**asked["provider"], "type": draw.choice(FIRST_PROVIDER_TYPES)},
        "state": draw.choice(FIRST_STATES),
        "clinical": {"documented": charted},
    }


def _checks(draw: random.Random, members: int, count: int) -> Iterator[Json]:
    for _ in range(count):
        yield _service(
            draw.randrange(members),
            CHECKED_FROM + timedelta(days=draw.randrange(CHECKED_DAYS)),
            draw.choice(CODES),
            draw.choice(DIAGNOSES),
            draw.choice(PROVIDER_TYPES),
        )


class Visits:
    """Hands out visit events that were never handed out before. A member's visits are a week apart."""

    def __init__(self, prefix: str) -> None:
        """`prefix` begins the ids of these visits, so that two sources never make the same."""
        self._prefix = prefix
        self._made = 0
        self._visits_of: Counter[int] = Counter()

    def event(self, member: int) -> str:
        """The next visit of a member, as the body of a `visit.recorded`."""
        self._made += 1
        number = self._visits_of[member]
        self._visits_of[member] += 1
        on = FIRST_DAY + timedelta(days=7 * number)
        name = f"{self._prefix}-{self._made:08d}"
        named = {"event_id": f"event-{name}", "type": "visit.recorded", "visit_id": f"visit-{name}"}
        return json.dumps({**named, **_service(member, on)})

    def spread(self, members: int, count: int, seed: int) -> Iterator[str]:
        """Events of members drawn evenly from the first `members`."""
        draw = generator(seed)
        for _ in range(count):
            yield self.event(draw.randrange(members))

    def of_each(self, members: Sequence[int]) -> list[str]:
        """One event of each of these members, in this order."""
        return [self.event(member) for member in members]
