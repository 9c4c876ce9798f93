"""One benchmark from beginning to end: which part comes when, and what runs meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psycopg

from deploy.benchmarks.dataset import Visits, add_members
from deploy.benchmarks.figures import Peer, Row
from deploy.benchmarks.footprint import Idle, counter_keys, idle_row, measure_counter_bytes, measure_idle
from deploy.benchmarks.http_rows import http_peers, http_rows, measure_http
from deploy.benchmarks.inbox_rows import bulk_row, copy_peers, drain_rows, measure_inbox, none_waits
from deploy.benchmarks.ledger_rows import add_ledger, measure_refold, measure_restore
from deploy.benchmarks.peer_rows import best_of, measure_counter_reads, measure_pgbench, measure_textbook
from deploy.benchmarks.plan import Plan
from deploy.benchmarks.report import machine_lines
from deploy.benchmarks.size_rows import (
    measure_checks_by_size,
    measure_drains_by_size,
    size_rows,
)
from deploy.benchmarks.stack import Site, Stack, await_true, stop
from deploy.benchmarks.visible_rows import measure_visible, visible_row
from services.operator_cli.runner.child import Child

#: In this order. "inbox" comes first: it fills the small database.
PARTS = ("inbox", "http", "awake", "rebuild", "size")
#: What asks the small database, and so needs it filled.
FILLED_PARTS = ("http", "awake", "rebuild")
CATCH_UP_SECONDS_MAX = 300.0


class Session:
    """Collects rows, peers and notes as the parts are run."""

    def __init__(self, stack: Stack, plan: Plan, say: Callable[[str], None]) -> None:
        """Make the small installation and start its API; `say` tells what is being done."""
        self._stack, self._plan, self._say = stack, plan, say
        self.rows: list[Row] = []
        self.peers: list[Peer] = []
        self.idle: list[Idle] = []
        say(f"a database of {plan.members:,} members")
        self._small = stack.new_site("needlecap")
        add_members(self._small.database_url, plan.members)
        self.machine = machine_lines(stack, self._small.database_url)
        self._visits = Visits("small")
        self._api = self._start("api", self._small)

    def run(self, parts: Sequence[str]) -> None:
        """Run these parts, in the order of PARTS, on visits where they need some."""
        jobs: dict[str, Callable[[], None]] = {
            "inbox": self._inbox,
            "http": self._http,
            "awake": self._awake,
            "rebuild": self._rebuild,
            "size": self._size,
        }
        if "inbox" not in parts and not set(FILLED_PARTS).isdisjoint(parts):
            self._say("visits, as inbox leaves them")
            measure_inbox(self._stack, self._small, self._plan, self._visits)
        for part in PARTS:
            if part in parts:
                jobs[part]()

    def _start(self, name: str, site: Site) -> Child:
        """Start a service: the API alone on its core, everything else on the other."""
        core = self._stack.cores.served if name == "api" else self._stack.cores.other
        return self._stack.start(self._stack.services(site)[name], [core])

    def _inbox(self) -> None:
        self._say("bulk, COPY and drain, by turns")
        found = measure_inbox(self._stack, self._small, self._plan, self._visits)
        self._say("pgbench and textbook Celery")
        self._stack.servers_on(self._stack.cores.both)
        naive = measure_pgbench(self._stack, self._small, self._plan)
        textbook = measure_textbook(self._stack, self._small, self._plan)
        self.rows += [bulk_row(found), *drain_rows(found, textbook.figure, best_of(naive))]
        self.peers += [*copy_peers(found), *naive, textbook]

    def _http(self) -> None:
        self._say("no-op, checks and visit events, by turns")
        self._stack.servers_on([self._stack.cores.other])
        found = measure_http(self._stack, self._small, self._plan, self._visits)
        self.rows = [*http_rows(found), *self.rows]
        self.peers = [*http_peers(found), *self.peers]

    def _awake(self) -> None:
        """What needs worker and beat."""
        worker, beat = self._catch_up()
        self._say("idle processes, memory of counters, reads of counters")
        pids = {"api": self._api.pid, "worker": worker.pid, "beat": beat.pid, **self._stack.server_pids()}
        self.idle = measure_idle(pids, self._plan.idle_seconds)
        keys = counter_keys(self._small)
        self.peers.append(measure_counter_reads(self._stack, self._small, keys[:5000], self._plan))
        self.rows += [measure_counter_bytes(self._small), idle_row(self.idle)]
        self._say("accepted to visible")
        self.rows.append(visible_row(*measure_visible(self._stack, self._small, self._plan, self._visits)))
        stop(worker)
        stop(beat)

    def _catch_up(self) -> tuple[Child, Child]:
        """Start worker and beat and wait until no event is left."""
        self._stack.servers_on(self._stack.cores.both)
        worker, beat = self._start("worker", self._small), self._start("beat", self._small)
        self._say("catching up")
        with psycopg.connect(self._small.database_url, autocommit=True) as looker:
            await_true(lambda: none_waits(looker), CATCH_UP_SECONDS_MAX, "catching up")
        return worker, beat

    def _rebuild(self) -> None:
        stack, plan = self._stack, self._plan
        stack.servers_on(stack.cores.both)
        self._say(f"the ledger of {plan.ledger_visits:,} visits")
        site = stack.new_site("needlecap_ledger")
        add_ledger(site.database_url, plan.ledger_visits)
        self._say("rebuild")
        self.rows.append(measure_restore(stack, site, plan))
        self.rows.append(measure_refold(stack, self._small))

    def _size(self) -> None:
        """Two databases that differ in the number of members alone: nobody in either has a visit yet."""
        plan, stack = self._plan, self._stack
        small, small_api = self._new_installation("needlecap_few", plan.members)
        large, large_api = self._new_installation("needlecap_large", plan.large_members)
        self._say("checks in the small and the large database, by turns")
        stack.servers_on([stack.cores.other])
        checks = measure_checks_by_size(stack, small, large, plan)
        self._say("drains in the small and the large database, by turns")
        visits = {site.name: Visits(site.name) for site in (small, large)}
        drains = measure_drains_by_size(stack, small, large, plan, visits)
        self.rows += size_rows(plan, checks, drains)
        for api in (small_api, large_api):
            stop(api)

    def _new_installation(self, name: str, members: int) -> tuple[Site, Child]:
        """A site with members and without visits, and its API."""
        self._say(f"a database of {members:,} members")
        site = self._stack.new_site(name)
        add_members(site.database_url, members)
        return site, self._start("api", site)
