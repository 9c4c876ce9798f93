"""Report the benefit periods that are over, and what came to them late. Changes no count."""

from __future__ import annotations

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from shared.accounting.drain import DRAIN_SECONDS
from shared.accounting.period_turn import amended, close_periods
from shared.domain.client import EVERY_PAYER
from shared.domain.period_report import PeriodReport
from shared.failpoints import Step, around
from shared.messages import CLOSE_PERIODS

_log = structlog.get_logger()


def close_ended_periods(tools: Tools) -> int:
    """Report each payer's ended periods in a commit of its own; how many reports were made.

    None of a payer that another worker is at. Judged by the database's clock. Safe to run twice. Raises
    StoreUnavailable; what was reported before stays so.
    """
    with tools.store.transaction(EVERY_PAYER) as tx:
        payers = tx.periods.payers()
    made: list[PeriodReport] = []
    for payer_id in payers:
        made += _close(tools, payer_id)
    with tools.store.transaction(EVERY_PAYER) as tx:
        tx.jobs.note_run(CLOSE_PERIODS)
        tx.commit()
    if made:
        late = amended(made)
        tools.totals.add(totals.PERIODS_CLOSED, len(made) - late)
        tools.totals.add(totals.PERIODS_AMENDED, late)
        _log.info(
            log_events.PERIODS_CLOSED,
            closed=len(made) - late,
            amended=late,
            members=sum(report.counts.members for report in made),
            used=sum(report.counts.used for report in made),
            held=sum(report.counts.held for report in made),
        )
    return len(made)


def _close(tools: Tools, payer_id: str) -> list[PeriodReport]:
    with tools.store.transaction([payer_id], seconds=DRAIN_SECONDS) as tx:
        if not tx.jobs.claim(f"{CLOSE_PERIODS}:{payer_id}"):
            return []
        made = close_periods(tx, payer_id, tx.jobs.now())
        if made:
            with around(Step.PERIOD_COMMIT):
                tx.commit()
    return made
