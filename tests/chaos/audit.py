"""What must hold while it runs, and what must be exactly so in the end."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from click.testing import CliRunner

from services.operator_cli.main import main
from shared.accounting.reconcile_counters import compare_counters
from shared.adapters.catalog_source import CatalogSource
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.domain.client import EVERY_PAYER
from shared.domain.records import MemberRef
from tests.chaos.clients import Diary
from tests.chaos.plant import Plant
from tests.chaos.world import PAYER, PLANS, RULES, allowed_by_plan, model_members
from tests.model.reference import reference
from tests.state_bytes import rebuilt_state, stored_state

Row = dict[str, Any]

#: Members whose states are compared in one go.
_PAGE = 500


@dataclass(slots=True, kw_only=True)
class Findings:
    """What an audit found. Everything but the last two has to be nothing."""

    lost: int = 0
    double: int = 0
    overruns: int = 0
    faults: list[str] = field(default_factory=list)
    counters_compared: int = 0
    entries: int = 0

    def require(self, what: str, *, holds: bool) -> None:
        """Note `what` is wrong unless it holds."""
        if not holds:
            self.faults.append(what)


def overruns(connection: psycopg.Connection[Any]) -> int:
    """How many accumulators have more used and held than is allowed, all of one snapshot (I3).

    What is allowed is worked out from the plan's limit and every override that is not revoked, and not
    taken from what the service thinks.
    """
    rows = connection.execute(
        """
        select a.plan_id, a.limit_id, a.used + a.held,
               coalesce((select sum(o.quantity) from override_grant o
                          where o.payer_id = a.payer_id and o.member_id = a.member_id
                            and o.limit_id = a.limit_id and o.revoked_at is null
                            and o.service_date >= a.period_start and o.service_date < a.period_end), 0)
          from accumulator a where a.used + a.held > 0
        """
    )
    return sum(taken > allowed_by_plan(plan, limit) + granted for plan, limit, taken, granted in rows)


def incomplete(connection: psycopg.Connection[Any]) -> bool:
    """Whether the books of received events do not add up in one snapshot (I7)."""
    row = connection.execute(
        """
        select (select coalesce(sum(received), 0) from visit_event_count),
               (select coalesce(sum(applied) + sum(rejected), 0) from visit_event_count)
               + (select count(*) from visit_event_in_full where status in ('dead', 'pending')),
               (select count(*) from visit_event)
        """
    ).fetchone()
    assert row is not None
    return len({int(number) for number in row}) > 1


def caught_up(connection: psycopg.Connection[Any]) -> bool:
    """Whether nothing waits: no event, no member to fold again, no counter to show."""
    row = connection.execute(
        """
        select exists (select from visit_event_waiting)
            or exists (select from refold_request) or exists (select from counter_outbox)
        """
    ).fetchone()
    return row is not None and not row[0]


def longest_wait_seconds(connection: psycopg.Connection[Any]) -> float:
    """The longest that an event waited from its acceptance until it was applied."""
    row = connection.execute(
        "select extract(epoch from max(applied_at - received_at)) from visit_event_in_full"
    ).fetchone()
    return float(row[0]) if row and row[0] is not None else 0.0


def compare_redis(plant: Plant, members: Sequence[str], found: Findings) -> None:
    """Counters that are there say what PostgreSQL says; the service still runs."""
    database = PostgresDatabase(plant.url, connections_max=2)
    client = connect(plant.valkey.url())
    counters = RedisCounters(client, hash_key=plant.hash_key)
    for page in _pages(members):
        report = compare_counters(database, counters, page)
        found.counters_compared += report.compared
        found.require(f"{len(report.wrong)} Redis counters are wrong", holds=not report.wrong)
    database.close()
    client.close()


def audit(plant: Plant, diaries: Sequence[Diary], members: Sequence[str], found: Findings) -> None:
    """Compare everything with everything; nothing may run but the servers."""
    with psycopg.connect(plant.url) as connection:
        _audit_events(connection, diaries, found)
        found.overruns += overruns(connection)
        found.require("received events are not accounted for (I7)", holds=not incomplete(connection))
        _audit_against_model(connection, diaries, members, found)
        row = connection.execute("select count(*) from ledger_entry").fetchone()
        found.entries = row[0] if row else 0
    _audit_states(plant, members, found)
    for command in (["ledger", "verify"], ["rebuild", "--check"], ["reconcile"]):
        _audit_by_command(plant, command, found)


def _audit_events(connection: psycopg.Connection[Any], diaries: Sequence[Diary], found: Findings) -> None:
    """Each acknowledged event is there once and was applied; nothing is there that was not sent."""
    rows = connection.execute("select client_id, event_id, status from visit_event_in_full").fetchall()
    stored = Counter((client_id, event_id) for client_id, event_id, _ in rows)
    ended = {(c, e) for c, e, status in rows if status in {"applied", "rejected"}}
    for diary in diaries:
        acknowledged = {(diary.client_id, event_id) for event_id in diary.acknowledged}
        found.lost += len(acknowledged - ended)
        sent = {(diary.client_id, event_id) for event_id in diary.events}
        found.require(
            f"{len(sent - acknowledged)} events were never acknowledged", holds=sent == acknowledged
        )
        found.lost += len(set(diary.placed.values()) - _ids(connection, "hold", "hold_id"))
        found.lost += len(set(diary.granted.values()) - _ids(connection, "override_grant", "override_id"))
    found.double += sum(number - 1 for number in stored.values())
    known = {(diary.client_id, event_id) for diary in diaries for event_id in diary.events}
    found.require("events are stored that nobody sent", holds=stored.keys() <= known)


def _ids(connection: psycopg.Connection[Any], table: str, column: str) -> set[str]:
    query = psycopg.sql.SQL("select {} from {}").format(
        psycopg.sql.Identifier(column), psycopg.sql.Identifier(table)
    )
    return {found for (found,) in connection.execute(query)}


def _audit_against_model(
    connection: psycopg.Connection[Any],
    diaries: Sequence[Diary],
    members: Sequence[str],
    found: Findings,
) -> None:
    """Units, dispositions, holds and counts are what the independent model makes of what was sent."""
    asked = reference(_world(connection, diaries, members, found))
    posted = connection.execute(
        """
        select client_id, visit_id, plan_id, limit_id, basis, period_start, period_end, subject,
               sum(used_delta)
          from ledger_entry where visit_id is not null group by 1, 2, 3, 4, 5, 6, 7, 8
        having sum(used_delta) <> 0
        """
    )
    units = {((row[0], row[1]), tuple(row[2:8])): int(row[8]) for row in posted}
    wanted = {
        (visit, key): number
        for visit, said in asked["visits"].items()
        for key, number in said["units"].items()
    }
    for place in units.keys() | wanted.keys():
        difference = units.get(place, 0) - wanted.get(place, 0)
        found.double += max(0, difference)
        found.lost += max(0, -difference)
    stored: dict[Any, Any] = {
        (client, visit): disposition
        for client, visit, disposition in connection.execute(
            "select client_id, visit_id, disposition from visit"
        )
    }
    told = {visit: said["disposition"] for visit, said in asked["visits"].items()}
    found.require(_difference("visits", stored, told), holds=stored == told)
    states = dict(connection.execute("select hold_id, state from hold").fetchall())
    holds = {name: hold["state"] for name, hold in asked["holds"].items()}
    found.require(_difference("holds", states, holds), holds=states == holds)
    counts = {
        tuple(row[:7]): (row[7], row[8])
        for row in connection.execute(
            "select member_id, plan_id, limit_id, basis, period_start, period_end, subject, used, held"
            " from accumulator where used > 0 or held > 0"
        )
    }
    sums = {
        key: (sum(at["used"].values()), sum(at["held"].values())) for key, at in asked["accumulators"].items()
    }
    found.require(_difference("accumulators", counts, sums), holds=counts == sums)


def _difference(what: str, stored: Mapping[Any, Any], told: Mapping[Any, Any]) -> str:
    differing = [name for name in stored.keys() | told.keys() if stored.get(name) != told.get(name)]
    shown = "; ".join(
        f"{name}: {stored.get(name)}, the model says {told.get(name)}" for name in differing[:3]
    )
    return f"{len(differing)} {what} are not as the model says: {shown}"


def _world(
    connection: psycopg.Connection[Any],
    diaries: Sequence[Diary],
    members: Sequence[str],
    found: Findings,
) -> Row:
    """What was sent, with the order in which the service says that it took it."""
    said = {(d.client_id, event_id): event for d in diaries for event_id, event in d.events.items()}
    events = [
        {**said[client, event_id], "client": client, "arrival": arrival, "received_on": received_on}
        for client, event_id, arrival, received_on in connection.execute(
            "select client_id, event_id, arrival, (received_at at time zone 'UTC')::date from visit_event"
        )
    ]
    promised = {(d.client_id, key): hold for d in diaries for key, hold in d.holds.items()}
    holds = [
        {**promised[client, key], "hold_id": hold_id, "arrival": at, "ended_by": ended_by, "end_state": state}
        for client, key, hold_id, at, ended_by, state in connection.execute(
            "select client_id, idempotency_key, hold_id, arrival, ended_by, end_state from hold"
        )
    ]
    granted = {f"{d.client_id}-{key}": (d, key) for d in diaries for key in d.overrides}
    overrides = []
    for key, override_id, _created_at, revoked_at in connection.execute(
        "select idempotency_key, override_id, created_at, revoked_at from override_grant order by created_at"
    ):
        diary, own = granted[key]
        revoked = own in diary.revoked
        found.require("a revoked override stands", holds=revoked == (revoked_at is not None))
        overrides.append(
            {
                **{name: diary.overrides[own][name] for name in ("member", "limit_id", "date", "quantity")},
                "override_id": override_id,
                "expires_on": None,
                "visit_id": None,
                "revoked": revoked,
            }
        )
    found.double += len(overrides) - len({row["override_id"] for row in overrides})
    return {
        "rules": RULES,
        "plans": PLANS,
        "members": model_members(list(members)),
        "events": events,
        "holds": holds,
        "overrides": overrides,
        "decisions": {},
    }


def _audit_states(plant: Plant, members: Sequence[str], found: Findings) -> None:
    """What was applied bit by bit is, byte for byte, what a rebuild from nothing gives (I4)."""
    database = PostgresDatabase(plant.url, connections_max=2)
    rules = CatalogSource(database)
    for page in _pages(members):
        with database.transaction(EVERY_PAYER, seconds=600) as tx:
            same = stored_state(tx, page) == rebuilt_state(tx, rules, page)
        found.require("stored states are not what a rebuild gives", holds=same)
    database.close()


def _audit_by_command(plant: Plant, command: Sequence[str], found: Findings) -> None:
    done = CliRunner().invoke(
        main, [*command, "--data-dir", str(plant.directory)], env={**plant.environment(), "COLUMNS": "200"}
    )
    found.require(f"needlecap {' '.join(command)}: {done.output.strip()[-400:]}", holds=done.exit_code == 0)


def _pages(members: Iterable[str]) -> Iterable[list[MemberRef]]:
    refs = (MemberRef(payer_id=PAYER, member_id=name) for name in members)
    while page := list(itertools.islice(refs, _PAGE)):
        yield page
