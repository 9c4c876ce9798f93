"""Peers: the naive design in pgbench and as textbook Celery, and the bare read of a counter."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import psycopg

from deploy.benchmarks.commands import output_of
from deploy.benchmarks.figures import Figure, Peer
from deploy.benchmarks.load import CLIENT_SHARE_MAX_PERCENT
from deploy.benchmarks.peers.naive import TABLES, pgbench_script
from deploy.benchmarks.plan import Plan
from deploy.benchmarks.stack import Site, Stack, await_true, stop
from services.operator_cli.runner.child import ChildSpec

PGBENCH_CLIENTS = (1, 8, 32)
TEXTBOOK_SECONDS_MAX = 120.0


def measure_pgbench(stack: Stack, site: Site, plan: Plan) -> list[Peer]:
    """Transactions per second of the naive upsert, for each number of clients."""
    script = stack.directory / "naive.sql"
    script.write_text(pgbench_script(plan.members))
    return [
        Peer(
            name=f"pgbench, naive capped upsert and ledger row, prepared, {clients} clients",
            unit="events/s",
            figure=Figure(
                tuple(
                    _pgbench(stack, site, plan, (str(script), str(clients)))
                    for _ in range(plan.backlog_rounds)
                )
            ),
        )
        for clients in PGBENCH_CLIENTS
    ]


def _pgbench(stack: Stack, site: Site, plan: Plan, script_and_clients: tuple[str, str]) -> float:
    _empty_tables(site)
    script, clients = script_and_clients
    said = output_of(
        (
            *(str(stack.program("pgbench")), "--no-vacuum", "--protocol", "prepared"),
            *("--file", script, "--client", clients, "--time", str(plan.pgbench_seconds)),
            site.database_url,
        ),
        stack.cores.both,
        seconds_max=plan.pgbench_seconds + 60,
    )
    found = re.search(r"tps = ([0-9.]+) \(without initial connection time\)", said)
    assert found, "pgbench says its rate"
    return float(found[1])


def _empty_tables(site: Site) -> None:
    with psycopg.connect(site.database_url) as connection:
        connection.execute(TABLES)


def measure_textbook(stack: Stack, site: Site, plan: Plan) -> Peer:
    """Events per second of one Celery task per event, with as many processes as there are cores."""
    rates = tuple(_textbook(stack, site, plan) for _ in range(plan.backlog_rounds))
    return Peer(
        name="textbook Celery: a task per event, the naive upsert in each, two processes",
        unit="events/s",
        figure=Figure(rates),
    )


def _textbook(stack: Stack, site: Site, plan: Plan) -> float:
    _empty_tables(site)
    environment = {
        **stack.environment,
        "TEXTBOOK_DATABASE_URL": site.database_url,
        "TEXTBOOK_BROKER_URL": stack.valkey.url(15),
    }
    count = plan.textbook_events
    output_of(
        (sys.executable, "-m", "deploy.benchmarks.peers.textbook_fill", str(count), str(plan.members)),
        stack.cores.both,
        seconds_max=TEXTBOOK_SECONDS_MAX,
        environment=environment,
    )
    worker = stack.start(_textbook_worker(stack, environment), stack.cores.both)
    try:
        with psycopg.connect(site.database_url, autocommit=True) as looker:
            await_true(lambda: _recorded(looker)[0] >= count, TEXTBOOK_SECONDS_MAX, "textbook Celery")
            recorded, seconds = _recorded(looker)
    finally:
        stop(worker)
    return (recorded - 1) / seconds


def _textbook_worker(stack: Stack, environment: dict[str, str]) -> ChildSpec:
    return ChildSpec(
        name="textbook",
        argv=(
            *(sys.executable, "-m", "celery", "-A", "deploy.benchmarks.peers.textbook:app", "worker"),
            *("--concurrency", "2", "--loglevel", "WARNING"),
        ),
        environment=environment,
        log_path=stack.directory / "logs" / "textbook.log",
    )


def _recorded(connection: psycopg.Connection) -> tuple[int, float]:
    """How many were recorded, and the seconds from the first to the last of them."""
    row = connection.execute(
        "select count(*), extract(epoch from max(recorded_at) - min(recorded_at))::float8 from naive_ledger"
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0]), float(row[1] or 0)


def measure_counter_reads(stack: Stack, site: Site, keys: Sequence[bytes], plan: Plan) -> Peer:
    """Reads per second of counters by 32 connections, one command in flight on each."""
    rates, shares = [], []
    for _ in range(plan.rounds):
        said = output_of(
            (sys.executable, "-m", "deploy.benchmarks.peers.counter_reads", str(plan.run_seconds)),
            [stack.cores.other],
            seconds_max=plan.run_seconds + 60,
            given="\n".join([site.redis_url, *(key.decode() for key in keys)]),
        )
        rate, share = said.split()
        rates.append(float(rate))
        shares.append(int(share))
    return Peer(
        name="Valkey: GET of counters, 32 connections, no pipelining (own client)",
        unit="reads/s",
        figure=Figure(tuple(rates)),
        note=client_note(max(shares)),
    )


def client_note(share_percent: int) -> str:
    """How busy the client was, and whether the figure may be its own limit instead of the server's."""
    said = f"the client used up to {share_percent}% of its core"
    if share_percent > CLIENT_SHARE_MAX_PERCENT:
        return f"{said}, so Valkey answers at least this many"
    return said


def best_of(peers: Sequence[Peer]) -> Figure:
    """The figure of the fastest of them."""
    return max((peer.figure for peer in peers), key=lambda figure: figure.median)
