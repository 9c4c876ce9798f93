"""One chaos run, from nothing to the audit."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.chaos.audit import (
    Findings,
    audit,
    caught_up,
    compare_redis,
    incomplete,
    longest_wait_seconds,
    overruns,
)
from tests.chaos.calls import Line, Tally
from tests.chaos.clients import Client, Diary, Keys
from tests.chaos.mischief import Mischief
from tests.chaos.operations import operate
from tests.chaos.plant import APIS, WORKERS, Caller, Plant
from tests.chaos.world import PAYER, PLANS, document_json, enroll, member_ids, plan_json

#: After the last mischief: clients end what they began, the backlog is worked off.
CATCH_UP_SECONDS_MAX = 240.0
SAMPLE_SECONDS = 0.5
SAY_SECONDS = 5.0
LOOK_SECONDS = 0.02
#: Twice the time in which a counter that nobody showed is found.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how much. The seed decides what is chosen, not how fast the machine is."""

    seed: int
    seconds: float
    clients: int
    members: int
    pause_seconds: float
    mischief_pauses: tuple[float, float]
    #: Whether an operator's commands run beside it.
    operated: bool = True
    #: Added to PostgreSQL's settings.
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What was done, and what came of it."""

    plan: Plan
    mischief: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    sent: int = 0
    acknowledged: int = 0
    repeats: int = 0
    holds: int = 0
    overrides: int = 0
    recoveries: int = 0
    longest_recovery_seconds: float = 0.0
    longest_wait_seconds: float = 0.0
    catch_up_seconds: float = 0.0
    samples: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)

    @property
    def is_right(self) -> bool:
        """Whether nothing at all is wrong."""
        found = self.findings
        return not (found.lost or found.double or found.overruns or found.faults)


class Recoveries:
    """After each mischief, how long it took until an event was accepted and applied again."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._lock = threading.Lock()
        self._since: list[float] = []
        self.count = 0
        self.longest_seconds = 0.0

    def disturbed(self) -> None:
        """Something was done to the service just now."""
        with self._lock:
            self._since.append(time.monotonic())

    def applied(self) -> None:
        """An event was just seen to be applied."""
        with self._lock:
            now = time.monotonic()
            self.count += len(self._since)
            self.longest_seconds = max([self.longest_seconds, *(now - at for at in self._since)])
            self._since.clear()


#: What is done with the servers once the audit is over: what was sent by whom, and of whom.
Afterwards = Callable[[Plant, list[Diary], list[str]], None]


def run(
    plan: Plan, directory: Path, say: Callable[[str], None], afterwards: Afterwards | None = None
) -> Outcome:
    """Make a service below `directory`, an empty one, disturb it under load, and audit what is left."""
    outcome = Outcome(plan=plan)
    plant = Plant(directory, settings=plan.settings)
    members = member_ids(plan.members)
    with plant.running():
        say(f"seed {plan.seed}: everything runs; {plan.clients} clients, {plan.members} members")
        tally, recoveries = Tally(api_pauses=plant.api_pauses), Recoveries()
        clients = _settle_in(plant, plan, members, tally, recoveries)
        try:
            _disturb(plant, plan, clients, tally, recoveries, outcome, say)
        finally:
            outcome.findings.faults += tally.faults
        say("the service caught up; auditing")
        compare_redis(plant, members, outcome.findings)
        plant.stop([*APIS, *WORKERS, "beat"])
        diaries = [client.diary for client in clients]
        audit(plant, diaries, members, outcome.findings)
        with psycopg.connect(plant.url) as connection:
            outcome.longest_wait_seconds = longest_wait_seconds(connection)
        if afterwards is not None:
            afterwards(plant, diaries, members)
    outcome.restarts = plant.restarts
    outcome.counts = tally.counts
    outcome.sent = sum(len(diary.events) for diary in diaries)
    outcome.acknowledged = sum(len(diary.acknowledged) for diary in diaries)
    outcome.repeats = sum(diary.repeats for diary in diaries)
    outcome.holds = sum(len(diary.placed) for diary in diaries)
    outcome.overrides = sum(len(diary.granted) for diary in diaries)
    outcome.recoveries = recoveries.count
    outcome.longest_recovery_seconds = recoveries.longest_seconds
    return outcome


def _settle_in(
    plant: Plant, plan: Plan, members: list[str], tally: Tally, recoveries: Recoveries
) -> list[Client]:
    """Payer, plans, rules, members and the clients."""
    admin, ops = plant.new_caller("admin", "admin"), plant.new_caller("ops", "ops")
    _put_rules(plant, admin, tally)
    enroll(plant.url, members)
    clients = []
    for number in range(plan.clients):
        caller = plant.new_caller(f"ehr-{number}", "ehr")
        clients.append(
            Client(
                diary=Diary(client_id=caller.client_id),
                keys=Keys(ehr=caller.key, admin=admin.key, ops=ops.key),
                ports=plant.api_ports,
                members=members,
                dice=random.Random(f"{plan.seed}-{number}"),
                tally=tally,
                pause_seconds=plan.pause_seconds,
                applied=recoveries.applied,
            )
        )
    return clients


def _put_rules(plant: Plant, admin: Caller, tally: Tally) -> None:
    line = Line(plant.api_ports, admin.key, random.Random(0), tally)
    never = threading.Event()
    done = {200, 201}
    line.ask("PUT", f"/v1/payers/{PAYER}", {"name": "Chaos Payer"}, final=done, over=never)
    for plan_id in PLANS:
        path = f"/v1/payers/{PAYER}/plans/{plan_id}"
        line.ask("PUT", path, plan_json(plan_id, plan_id), final=done, over=never)
        path = f"/v1/rule-documents/chaos-{plan_id}/versions/1"
        line.ask("PUT", path, document_json(plan_id), final=done, over=never)
    line.close()
    assert not tally.faults, tally.faults


def _disturb(
    plant: Plant,
    plan: Plan,
    clients: list[Client],
    tally: Tally,
    recoveries: Recoveries,
    outcome: Outcome,
    say: Callable[[str], None],
) -> None:
    """Load and mischief until the time is over, then wait until everything sent has come to its end."""
    mischief = Mischief(plant, random.Random(plan.seed), plan.mischief_pauses)
    enough, over = threading.Event(), threading.Event()
    with ThreadPoolExecutor(len(clients) + 2) as pool:
        running = [pool.submit(client.run, enough, over) for client in clients]
        sampler = pool.submit(_sample, plant.url, over, outcome)
        dice = random.Random(f"{plan.seed}-operator")
        operator = (
            pool.submit(operate, plant.environment(), plant.directory, dice, tally, enough)
            if plan.operated
            else None
        )
        try:
            _keep_disturbing(plant, plan, mischief, recoveries, tally, clients, say)
            ended = time.monotonic()
            enough.set()
            plant.let_go_on()
            say("no more mischief; waiting until everything is applied")
            _keep_until(plant, lambda: _all_done(running) and _is_caught_up(plant), outcome.findings)
            outcome.catch_up_seconds = time.monotonic() - ended
            _keep_for(plant, SETTLE_SECONDS)
        finally:
            enough.set()
            over.set()
        sampler.result()
        if operator is not None:
            operator.result()
        for client in running:
            client.result()
    outcome.mischief = mischief.done


def _keep_disturbing(
    plant: Plant,
    plan: Plan,
    mischief: Mischief,
    recoveries: Recoveries,
    tally: Tally,
    clients: list[Client],
    say: Callable[[str], None],
) -> None:
    began = said = time.monotonic()
    while (now := time.monotonic()) - began < plan.seconds:
        plant.keep()
        if mischief.step():
            recoveries.disturbed()
        if now - said >= SAY_SECONDS:
            said = now
            acknowledged = sum(len(client.diary.acknowledged) for client in clients)
            say(
                f"{now - began:4.0f} of {plan.seconds:.0f} s: {acknowledged} events acknowledged, "
                f"{tally.counts['checks']} checks, {mischief.done.total()} disturbances, "
                f"{plant.restarts} restarts, {recoveries.count} recoveries"
            )
        time.sleep(LOOK_SECONDS)


def _sample(url: str, over: threading.Event, outcome: Outcome) -> None:
    """Look at one snapshot after the other (I3, I7) as long as PostgreSQL answers."""
    while not over.wait(SAMPLE_SECONDS):
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                outcome.findings.overruns += overruns(connection)
                connection.rollback()
                if incomplete(connection):
                    outcome.findings.faults.append("received events are not accounted for (I7)")
                outcome.samples += 1
        except psycopg.OperationalError:
            continue


def _all_done(running: list[Future[None]]) -> bool:
    return all(client.done() for client in running)


def _is_caught_up(plant: Plant) -> bool:
    try:
        with psycopg.connect(plant.url, connect_timeout=2) as connection:
            return caught_up(connection)
    except psycopg.OperationalError:
        return False


def _keep_until(plant: Plant, condition: Callable[[], bool], findings: Findings) -> None:
    limit = time.monotonic() + CATCH_UP_SECONDS_MAX
    while not condition():
        if time.monotonic() > limit:
            findings.faults.append(f"not caught up within {CATCH_UP_SECONDS_MAX:.0f} seconds")
            return
        plant.keep()
        time.sleep(LOOK_SECONDS)


def _keep_for(plant: Plant, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        plant.keep()
        time.sleep(LOOK_SECONDS)
