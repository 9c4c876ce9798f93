"""Taking in a stream of visit events, and applying a backlog of them, each beside its floor."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg

from deploy.benchmarks.commands import output_of
from deploy.benchmarks.cores import Cores
from deploy.benchmarks.dataset import Visits
from deploy.benchmarks.figures import Figure, Goal, Peer, Row
from deploy.benchmarks.plan import Plan
from deploy.benchmarks.stack import Site, Stack, await_true, stop
from services.operator_cli.runner.ports import LOOPBACK

BULK = "/v1/visit-events/bulk"
BULK_SECONDS_MAX = 120
DRAIN_SECONDS_MAX = 180.0


class EventsMissing(Exception):
    """Not every event that was sent was accepted, or applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxFigures:
    """Events per second, run by run."""

    bulk: Figure
    copied: Figure
    copied_indexed: Figure
    drained: Figure


def measure_inbox(stack: Stack, site: Site, plan: Plan, visits: Visits) -> InboxFigures:
    """In each round, send some streams, each beside a copy of its rows, then apply the whole backlog.

    The API of `site` runs on the served core; its worker is started for each backlog and stopped after.
    """
    runs: dict[str, list[float]] = {"bulk": [], "copied": [], "copied_indexed": [], "drained": []}
    count = plan.bulk_events
    for _ in range(plan.backlog_rounds):
        for _ in range(plan.streams_of_a_backlog):
            lines = list(visits.spread(plan.members, count, seed=100 + len(runs["bulk"])))
            runs["bulk"].append(count / send_stream(stack, site, lines))
            for name, indexed in (("copied", False), ("copied_indexed", True)):
                runs[name].append(count / _copy_rows(stack.cores, site, count, indexed=indexed))
        runs["drained"].append(drain_backlog(stack, site, plan.streams_of_a_backlog * count))
    return InboxFigures(**{name: Figure(tuple(rates)) for name, rates in runs.items()})


def send_stream(stack: Stack, site: Site, lines: Sequence[str]) -> float:
    """Seconds until all lines were answered as accepted, on one connection. Raises EventsMissing.

    From here on the servers leave the served core to the API.
    """
    stack.servers_on([stack.cores.other])
    body = "\n".join(lines).encode()
    connection = http.client.HTTPConnection(LOOPBACK, site.api_port, timeout=BULK_SECONDS_MAX)
    headers = {"Authorization": f"Bearer {site.key}", "Content-Type": "application/x-ndjson"}
    began = time.perf_counter()
    connection.request("POST", BULK, body=body, headers=headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    seconds = time.perf_counter() - began
    connection.close()
    if answer.status != 200 or said["accepted"] != len(lines):
        raise EventsMissing(json.dumps(said)[:2000])
    return seconds


def _copy_rows(cores: Cores, site: Site, count: int, *, indexed: bool) -> float:
    """Seconds that psycopg takes to COPY the newest rows of the inbox into a table like it."""
    return float(
        output_of(
            (sys.executable, "-m", "deploy.benchmarks.peers.copy_rows", str(count), str(int(indexed))),
            [cores.served],
            seconds_max=BULK_SECONDS_MAX,
            given=site.database_url,
        )
    )


def drain_backlog(stack: Stack, site: Site, count: int) -> float:
    """Events per second that one worker process applies and shows, until none of `count` waits.

    From the start of the first batch's transaction to the moment that no event is pending. From here on the
    servers have both cores. Raises EventsMissing unless `count` events were applied.
    """
    stack.servers_on(stack.cores.both)
    with psycopg.connect(site.database_url, autocommit=True) as looker:
        # Whoever looks fifty times a second must not read the table each time.
        looker.execute("set enable_seqscan = off")
        row = looker.execute("select max(arrival), clock_timestamp() from visit_event").fetchone()
        assert row is not None, "an aggregate has a row"
        last, before = row
        # It answers no ping while it drains: who waited for one would see the end up to half a second late.
        worker = stack.start(
            replace(stack.services(site)["worker"], answers=_taken_on_trust), stack.cores.both
        )
        try:
            await_true(lambda: none_waits(looker), DRAIN_SECONDS_MAX, "draining the backlog")
            ended = time.time()
        finally:
            stop(worker)
        found = looker.execute(
            "select count(*), extract(epoch from min(applied_at))::float8 from visit_event_applied"
            " where applied_at >= %s and arrival <= %s and status = 'applied'",
            [before, last],
        ).fetchone()
    if found is None or found[0] != count:
        raise EventsMissing(f"{found and found[0]} of {count} events were applied")
    return count / (ended - float(found[1]))


def _taken_on_trust() -> bool:
    return True


def none_waits(connection: psycopg.Connection) -> bool:
    """Whether every accepted event was applied, rejected or put aside."""
    row = connection.execute("select exists (select from visit_event_waiting)").fetchone()
    return row is not None and not row[0]


def bulk_row(found: InboxFigures) -> Row:
    """The stream's line of the table."""
    return Row(
        what="bulk NDJSON, validated and durable in the inbox",
        unit="events/s",
        figure=found.bulk,
        floor=found.copied,
        floor_name="psycopg COPY",
        goal=Goal(target=0.25, stretch=0.50, at_least=True),
    )


def drain_rows(found: InboxFigures, textbook: Figure, naive: Figure) -> list[Row]:
    """The backlog's lines of the table, against the two naive designs."""
    what, unit = "drain, one worker process", "events/s"
    return [
        Row(
            what=what,
            unit=unit,
            figure=found.drained,
            floor=textbook,
            floor_name="textbook Celery",
            in_turns=False,
            goal=Goal(target=10, stretch=25, at_least=True, unit="x"),
        ),
        Row(
            what=what,
            unit=unit,
            figure=found.drained,
            floor=naive,
            floor_name="pgbench, best",
            in_turns=False,
            goal=Goal(target=1, stretch=3, at_least=True, unit="x"),
        ),
    ]


def copy_peers(found: InboxFigures) -> list[Peer]:
    """The floors of the stream."""
    return [
        Peer(
            name="psycopg COPY of the inbox's rows, one transaction, table without indexes",
            unit="rows/s",
            figure=found.copied,
        ),
        Peer(
            name="the same into a table with the inbox's indexes and checks",
            unit="rows/s",
            figure=found.copied_indexed,
        ),
    ]
