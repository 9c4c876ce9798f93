"""Operations while traffic runs: nothing is lost, doubled or held up by them."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from click.testing import Result

from shared.accounting.drain import DrainReport, drain_shards
from shared.messages import SHARDS
from tests.desk import NPI, Desk, member

MEMBERS = ("A", "B", "C", "D")
EVENTS = 600
VISITS = 60


def _report(desk: Desk, dice: random.Random) -> None:
    """One event about one of a few visits of a few members."""
    ref, visit = member(dice.choice(MEMBERS)), f"v{dice.randrange(VISITS)}"
    day = f"202{dice.choice('56')}-0{dice.randint(1, 9)}-11"
    kind = dice.random()
    if kind < 0.6:
        desk.record(ref, visit, day, provider={"npi": NPI})
    elif kind < 0.9:
        desk.correct(ref, visit, day, provider={"npi": NPI})
    else:
        desk.void(visit)


def _drain_all(desk: Desk) -> int:
    """One batch of each shard; how many events failed."""
    reports: list[DrainReport] = [
        drain_shards(desk.database, desk.rules, lambda: datetime.now(UTC), [shard], 50)
        for shard in range(SHARDS)
    ]
    return sum(report.failed for report in reports)


def test_rebuilds_merges_and_decisions_run_beside_the_drain(desk: Desk) -> None:
    """Two drainers and every operation at once; then the state is the fold and the ledger is whole."""
    for name in MEMBERS:
        desk.enroll(name)
    over = threading.Event()

    def drain_on() -> int:
        failed = 0
        while not over.is_set():
            failed += _drain_all(desk)
        return failed

    def report_all(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(EVENTS // 2):
            _report(desk, dice)

    with ThreadPoolExecutor(4) as pool:
        drainers = [pool.submit(drain_on) for _ in range(2)]
        reporters = [pool.submit(report_all, seed) for seed in (1, 2)]
        outcomes: list[Result] = []
        while len(outcomes) < 9 or not all(reporter.done() for reporter in reporters):
            outcomes += [
                desk.needlecap("rebuild"),
                desk.needlecap("reconcile"),
                desk.needlecap("ledger", "verify"),
                desk.needlecap("rebuild", "--check"),
            ]
            waiting = [
                str(arrival)
                for (arrival,) in desk.office.rows(
                    "select arrival from visit where disposition = 'possible_duplicate' order by 1 limit 3"
                )
            ]
            if waiting:
                # What is decided on may be no duplicate any more by then: then it is said and left.
                desk.needlecap("duplicates", "accept", *waiting)
            if len(outcomes) == 8:
                outcomes.append(desk.merge("SAMPLE-A", "SAMPLE-B"))
        over.set()
        for reporter in reporters:
            reporter.result()
        assert [drainer.result() for drainer in drainers] == [0, 0]
    assert [result.output for result in outcomes if result.exit_code] == []
    desk.drain()
    assert desk.office.rows("select arrival from visit_event_dead") == []
    stored, rebuilt = desk.states(*map(member, MEMBERS))
    assert stored == rebuilt
    assert desk.needlecap("rebuild", "--check").exit_code == 0
    assert desk.needlecap("ledger", "verify").exit_code == 0
