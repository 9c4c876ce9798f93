"""How a member's limits stand on a date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from services.coverage_api.ports import Tools
from shared.accounting.as_of import limits_as_of
from shared.accounting.check import limits_of, member_standings, read_counters
from shared.accounting.codec import cited_reason_to
from shared.accounting.determination_body import limit_standing_to
from shared.domain.determination import determine
from shared.domain.records import MemberRef
from shared.domain.service import Service, ServiceLine

Json = dict[str, Any]

#: What is asked about where no limit is found, to say why: one dry needling session.
_ASKED = (ServiceLine(procedure_code="20560"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAccumulators:
    """Limits as the contract shows an accumulator. `reasons` say why there is none; else they are empty."""

    accumulators: list[Json]
    reasons: list[Json]


def search_accumulators(
    tools: Tools, ref: MemberRef, on: date, known_at: datetime | None = None
) -> FoundAccumulators:
    """Every limit of the plan that covers the member on a date, unknown never shown as zero (I11).

    With `known_at`, an aware UTC instant, as they stood by what was known then (I14); one in the
    future answers for now.
    """
    past = known_at if known_at is not None and known_at < tools.clock() else None
    images = read_counters(tools.counters, [ref]) if past is None else {}
    with tools.store.transaction([ref.payer_id]) as tx:
        rules, standings = member_standings(tx, tools.rules, images, [ref])
        standing = standings[ref]
        found = (
            limits_of(tx, rules, standing, ref, on)
            if past is None
            else limits_as_of(tx, tools.rules, ref, on, past)
        )
    why = () if found else determine(rules, standing, Service(service_date=on, lines=_ASKED)).reasons
    return FoundAccumulators(
        accumulators=[limit_standing_to(limit) for limit in found],
        reasons=[cited_reason_to(reason) for reason in why],
    )
