"""The world of a chaos run: plans with small limits, many members, and what clients say of them.

The same world in two forms: as rule documents and requests for the service, and as the plain rows that
the independent model of `tests/model` reads.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import psycopg

from tests.model.contents import content as content_of
from tests.model.contents import line
from tests.model.memory import json_of
from tests.rules import limit_row, plain_rules

Row = dict[str, Any]
Json = dict[str, Any]

PAYER = "chaos-payer"
NPIS = ("1234567893", "1999999992")
_NEEDLING = ["20560", "20561"]
_FIRST_DAY = date(2026, 1, 1)
#: More than a year, so that visits fall on both sides of every year's turn.
_DAYS = 420

RULES = plain_rules(
    limit_row("needling", 6, plans=["by-arrival"]),
    limit_row("needling", 6, plans=["by-date"], ordering="service_date"),
    limit_row("needling", 5, plans=["days"], measure="service_day"),
    limit_row("needling", 9, plans=["units"], measure="unit"),
    limit_row("pool", 8, plans=["by-arrival", "units"], pool=[*_NEEDLING, "97110"]),
)
PLANS: dict[str, Row] = {
    plan_id: {
        "funding": "fully_insured",
        "market": "group",
        "region": None,
        "plan_year_start": "07-01" if plan_id == "days" else "01-01",
        "contract_start": None,
        "carry_over": "none",
    }
    for plan_id in ("by-arrival", "by-date", "days", "units")
}


def plan_of(number: int) -> str:
    """The plan of the n-th member."""
    return list(PLANS)[number % len(PLANS)]


def member_ids(count: int) -> list[str]:
    """So many members."""
    return [f"SAMPLE-CHAOS-{number}" for number in range(count)]


def plan_json(plan_id: str, name: str) -> Json:
    """A plan as an administrator puts it."""
    plan = PLANS[plan_id]
    return {
        "name": name,
        "funding": plan["funding"],
        "market": plan["market"],
        "plan_year_start": plan["plan_year_start"],
    }


def document_json(plan_id: str) -> Json:
    """The rule document of a plan: needling and therapy are covered, within the plan's limits."""
    return {
        "document_id": f"chaos-{plan_id}",
        "version": 1,
        "title": f"Invented: the plan {plan_id}",
        "authority": "plan_document",
        "source": {"citation": "invented for a chaos run"},
        "effective": {"from": "2020-01-01"},
        "applies_to": [{"payers": [PAYER], "plans": [plan_id]}],
        "rules": [{"id": "covered", "codes": [*_NEEDLING, "97110"], "decision": "covered"}],
        "limits": [
            {
                "limit_id": row["limit_id"],
                "codes": row["pool"],
                "allowed": row["allowed"],
                "measure": row["measure"],
                "period": {"basis": row["basis"]},
                "ordering": row.get("ordering", RULES["ordering"]),
            }
            for row in RULES["limits"]
            if plan_id in row["plans"]
        ],
    }


def enroll(url: str, members: list[str]) -> None:
    """Store the members and their enrollment; the plans are there already."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into member (payer_id, member_id) values (%s, %s)", [(PAYER, name) for name in members]
        )
        cursor.executemany(
            "insert into enrollment (payer_id, member_id, plan_id, starts_on, ends_on, attributes)"
            " values (%s, %s, %s, '2024-02-29', null, '{}')",
            [(PAYER, name, plan_of(number)) for number, name in enumerate(members)],
        )


def model_members(members: list[str]) -> dict[str, Row]:
    """The members as the model takes them."""
    return {
        name: {
            "spans": [{"plan": plan_of(number), "start": date(2024, 2, 29), "end": None}],
            "openings": [],
        }
        for number, name in enumerate(members)
    }


def content(dice: random.Random, member: str, hold_id: str | None = None) -> Row:
    """What a visit may say, in the model's words."""
    codes = dice.choices([["20560"], ["20561"], ["97110"], ["20560", "97110"]], [60, 20, 10, 10])[0]
    return content_of(
        member,
        _FIRST_DAY + timedelta(days=dice.randrange(_DAYS)),
        lines=[line(code, dice.choice([1, 1, 1, 2, 3])) for code in codes],
        npi=dice.choice([None, *NPIS]),
        self_pay=dice.random() < 0.02,
        status="no_show" if dice.random() < 0.03 else "completed",
        hold=hold_id,
    )


def content_json(said: Row) -> Json:
    """The same as a client sends it."""
    body = {name: value for name, value in json_of(said).items() if value is not None}
    npi = {"npi": said["npi"]} if said["npi"] else {}
    return {**body, "provider": {"type": "physical_therapist", **npi}}


def service_json(said: Row) -> Json:
    """A check, or a request for a hold, of the service that a content states."""
    body = content_json(said)
    return {name: body[name] for name in ("member_id", "service_date", "lines", "provider", "state")} | {
        "payer_id": PAYER
    }


def allowed_by_plan(plan_id: str, limit_id: str) -> int:
    """How many units a plan's limit allows before any override."""
    (row,) = [r for r in RULES["limits"] if r["limit_id"] == limit_id and plan_id in r["plans"]]
    return int(row["allowed"])
