"""Random traffic of many members, as clients send it: out of order, twice, corrected and voided."""

from __future__ import annotations

import contextlib
import hashlib
import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import psycopg

from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.domain.inbox import NewEvent
from shared.messages import shard_of
from tests.builders import NOW, PAYER
from tests.clients import add_client
from tests.model.contents import content, line
from tests.model.memory import json_of
from tests.rules import limit_row, plain_rules

Row = dict[str, Any]

CLIENT = "c"
NPIS = ("1234567893", "1999999992")
_NEEDLING = ["20560", "20561"]
_WITH_THERAPY = [*_NEEDLING, "97110"]

#: So often does a client send again what the store could not answer.
SENDINGS_MAX = 50

#: A limit of each kind, each in a plan of its own, and a pool above it.
RULES = plain_rules(
    limit_row("needling", 9, plans=["by-arrival"]),
    limit_row("needling", 9, plans=["by-date"], ordering="service_date"),
    limit_row("needling", 7, plans=["days"], measure="service_day"),
    limit_row("needling", 14, plans=["units"], measure="unit"),
    limit_row("needling", 8, plans=["first"], basis="first_service_year", kx_from=6),
    limit_row("needling", 3, plans=["rolling"], basis="rolling_days", rolling_days=60),
    limit_row("needling", 6, plans=["changed"]),
    limit_row("pool", 12, plans=["by-arrival", "units", "changed"], pool=_WITH_THERAPY),
)
PLANS: dict[str, Row] = {
    plan_id: {
        "funding": "fully_insured",
        "market": "group",
        "region": None,
        "plan_year_start": "07-01" if plan_id == "days" else "01-01",
        "contract_start": None,
        "carry_over": "all" if plan_id == "changed" else "none",
    }
    for plan_id in ("by-arrival", "by-date", "days", "units", "first", "rolling", "changed")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Members, and what is sent of them: world events by event id, in the order of sending."""

    members: dict[str, Row]
    events: dict[str, Row] = field(default_factory=dict)
    sending: list[str] = field(default_factory=list)


def make_traffic(seed: int, *, members: int, events: int) -> Traffic:
    """So many events, a twentieth of them voids and a twentieth corrections, sent in any order.

    A tenth of them is sent twice.
    """
    dice = random.Random(seed)
    traffic = Traffic(members={f"SAMPLE-{n}": _member(dice, n) for n in range(members)})
    names = list(traffic.members)
    changes = events // 20
    visits = [f"v{n}" for n in range(events - 2 * changes)]
    told: list[Row] = []
    for visit_id in visits:
        content = _content(dice, dice.choice(names))
        if told and dice.random() < 0.03:
            content = dict(dice.choice(told))
        told.append(content)
        _say(traffic, "visit.recorded", visit_id, content)
    for number in range(changes):
        corrected = dice.randrange(len(visits))
        member = told[corrected]["member"] if dice.random() < 0.7 else dice.choice(names)
        _say(traffic, "visit.corrected", visits[corrected], _content(dice, member), number)
        _say(traffic, "visit.voided", dice.choice(visits), None, number)
    traffic.sending.extend(traffic.events)
    traffic.sending.extend(dice.sample(list(traffic.events), events // 10))
    dice.shuffle(traffic.sending)
    return traffic


def _member(dice: random.Random, number: int) -> Row:
    plan = list(PLANS)[number % len(PLANS)]
    spans = [{"plan": plan, "start": date(2024, 2, 29), "end": None}]
    if plan == "changed":
        moved_on = date(2026, 5, 1) + timedelta(days=dice.randrange(60))
        spans = [
            {"plan": "by-arrival", "start": date(2024, 2, 29), "end": moved_on},
            {"plan": "changed", "start": moved_on, "end": None},
        ]
    return {"spans": spans, "openings": []}


def _content(dice: random.Random, member: str) -> Row:
    codes = dice.choices([["20560"], ["20561"], ["97110"], ["20560", "97110"]], [60, 20, 10, 10])[0]
    on = date(2026, 1, 1) + timedelta(days=dice.randrange(420))
    return content(
        member,
        on,
        lines=[line(code, dice.choice([1, 1, 1, 2, 3]), dice.choice([[], ["KX"]])) for code in codes],
        npi=dice.choice([None, *NPIS]),
        self_pay=dice.random() < 0.02,
        status="no_show" if dice.random() < 0.03 else "completed",
    )


def _say(traffic: Traffic, kind: str, visit_id: str, content: Row | None, number: int = 0) -> None:
    event_id = f"{kind}-{visit_id}-{number}"
    traffic.events[event_id] = {
        "client": CLIENT,
        "visit_id": visit_id,
        "type": kind,
        "received_on": NOW.date(),
        "content": content,
    }


def new_event(event_id: str, event: Row) -> NewEvent:
    """An event as the API accepts it."""
    content = event["content"]
    member_id = content["member"] if content is not None else None
    return NewEvent(
        payer_id=PAYER,
        client_id=CLIENT,
        event_id=event_id,
        type=event["type"],
        visit_id=event["visit_id"],
        member_id=member_id,
        shard=shard_of(PAYER, member_id or event["visit_id"]),
        content=json_of(content) if content is not None else None,
        payload_digest=hashlib.sha256(event_id.encode()).digest(),
        received_at=NOW,
    )


def settle_in(url: str, traffic: Traffic) -> None:
    """Store payer, client, plans, members and their enrollment."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into payer (payer_id, name) values (%s, 'Plan') on conflict do nothing", [PAYER]
        )
        add_client(cursor, CLIENT)
        for plan_id, plan in PLANS.items():
            cursor.execute(
                "insert into plan (payer_id, plan_id, name, funding, market, plan_year_start, carry_over)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [
                    PAYER,
                    plan_id,
                    plan_id,
                    *(plan[k] for k in ("funding", "market", "plan_year_start", "carry_over")),
                ],
            )
        cursor.executemany(
            "insert into member (payer_id, member_id) values (%s, %s)", [(PAYER, m) for m in traffic.members]
        )
        cursor.executemany(
            "insert into enrollment (payer_id, member_id, plan_id, starts_on, ends_on, attributes)"
            " values (%s, %s, %s, %s, %s, '{}')",
            [
                (PAYER, member, span["plan"], span["start"], span["end"])
                for member, about in traffic.members.items()
                for span in about["spans"]
            ],
        )


def send(database: PostgresDatabase, traffic: Traffic, event_ids: list[str]) -> None:
    """Commit these events to the inbox in one batch; those it has are left as they are.

    Whoever is told that the store cannot answer sends again, as clients do: two who send the same
    events in another order may have to wait for each other.
    """
    events = [new_event(event_id, traffic.events[event_id]) for event_id in event_ids]
    for _ in range(SENDINGS_MAX):
        with contextlib.suppress(StoreUnavailable), database.transaction(EVERY_PAYER, seconds=60) as tx:
            tx.inbox.accept(events)
            tx.commit()
            return
    raise StoreUnavailable
