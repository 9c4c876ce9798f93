"""Accepts many visit events at once, as they stream in: durable and once, like single ones (I1, I2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from services.coverage_api.ports import Tools
from services.coverage_api.usecases.incoming import VisitReport, audit_of, new_events
from shared.failpoints import Step, around

Fate = Literal["accepted", "replayed", "conflict"]


def load_visit_events(tools: Tools, reports: Sequence[VisitReport]) -> list[Fate]:
    """Accept one part of a stream, in order, in one commit; what became of each report, in order.

    Raises StoreUnavailable, after which it is not known whether the part was accepted: sending it
    again is safe.
    """
    if not reports:
        return []
    new = new_events(reports, tools.clock())
    with tools.store.transaction(sorted({event.payer_id for event in new})) as tx:
        intake = tx.bulk_inbox.take_in(new)
        fates: list[Fate] = [
            "accepted" if place in intake.accepted else "replayed" if place in intake.replayed else "conflict"
            for place in range(len(reports))
        ]
        tx.audit.record(
            audit_of(report for report, fate in zip(reports, fates, strict=True) if fate != "conflict")
        )
        with around(Step.BULK_COMMIT):
            tx.commit()
    if intake.shards:
        tools.wakeups.wake(intake.shards)
    return fates
