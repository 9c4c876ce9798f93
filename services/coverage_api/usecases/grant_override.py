"""Grants units on top of a limit, such as an appeal has won."""

from __future__ import annotations

from services.coverage_api.ports import Tools
from services.coverage_api.usecases.showing import show_counters
from shared.accounting import overrides
from shared.accounting.check import search
from shared.accounting.retrying import retrying
from shared.domain.errors import Invalid
from shared.domain.hold_records import NewOverride
from shared.domain.records import CounterImage


def grant_override(tools: Tools, grant: NewOverride) -> None:
    """Store an override and let the visits next in order have its units, in one transaction.

    Raises Invalid if the member's plan has limits on that date, but none with this id.
    """
    show_counters(tools, retrying(lambda: _grant(tools, grant)))


def _grant(tools: Tools, grant: NewOverride) -> list[CounterImage]:
    """One transaction; the counters to show after it. Raises ConcurrentChange."""
    with tools.store.transaction([grant.ref.payer_id]) as tx:
        standings = search(tx, tools.rules, {}, grant.ref, grant.override.service_date)
        known = {standing.limit.limit_id for standing in standings}
        if known and grant.override.limit_id not in known:
            raise Invalid([("/limit_id", "The member's plan has no such limit on that date.")])
        images = overrides.grant_override(tx, tools.rules, tools.clock(), grant)
        tx.commit()
    return images
