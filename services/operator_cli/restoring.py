"""Sets accumulators and counters to what the ledger says: quick, since nothing is folded."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from services.operator_cli.operations import Operations
from services.operator_cli.progress import Advance
from shared.accounting.drain import DRAIN_SECONDS
from shared.domain.client import EVERY_PAYER
from shared.domain.records import CounterImage, MemberRef
from shared.failpoints import Step, around

#: A chunk is one transaction: its members are locked while their entries are added up.
MEMBERS_MAX = 2_000

THREADS = 2

#: Why the members that were set are folded again, as the ledger shows it.
REASON = "restored"


@dataclass(slots=True, kw_only=True)
class RestoreReport:
    """How many members were looked at, whose accumulators were set, and whose counters were not shown."""

    members: int = 0
    changed: int = 0
    unshown: int = 0


def restore(operations: Operations, pages: Iterable[Sequence[MemberRef]], advance: Advance) -> RestoreReport:
    """Restore every member of every page. Raises StoreUnavailable; what was done before stays done.

    Two threads take pages in turn: one shows counters while Postgres adds up for the other.
    """
    report, left, lock = RestoreReport(), iter(pages), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                page = next(left, None)
            if page is None:
                return
            changed, images = _restore_page(operations, page)
            shown = operations.show(images)
            with lock:
                report.members += len(page)
                report.changed += changed
                report.unshown += 0 if shown else len(images)
                advance(len(page))

    with ThreadPoolExecutor(THREADS, thread_name_prefix="restore") as pool:
        turns = [pool.submit(work) for _ in range(THREADS)]
    for turn in turns:
        turn.result()
    return report


def _restore_page(operations: Operations, page: Sequence[MemberRef]) -> tuple[int, list[CounterImage]]:
    with operations.database.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
        tx.rebuilding.lock(page)
        changed = tx.ledger.restore(page)
        if changed:
            tx.rebuilding.changed(changed, REASON)
            tx.outbox.queue(changed)
        images = tx.outbox.images(page)
        with around(Step.RESTORE_COMMIT):
            tx.commit()
    return len(changed), images
