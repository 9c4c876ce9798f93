"""How a member's limits stand on a date."""

from __future__ import annotations

from datetime import date
from typing import Any

from services.coverage_api.ports import Tools
from shared.accounting.check import read_counters, search
from shared.accounting.determination_body import limit_standing_to
from shared.domain.records import MemberRef

Json = dict[str, Any]


def search_accumulators(tools: Tools, ref: MemberRef, on: date) -> list[Json]:
    """Every limit of the plan that covers the member on a date, as the contract shows an accumulator."""
    images = read_counters(tools.counters, [ref])
    with tools.store.transaction([ref.payer_id]) as tx:
        standings = search(tx, tools.rules, images, ref, on)
    return [limit_standing_to(standing) for standing in standings]
