"""Ledger entries added up by accumulator, cause and service date: the statement and what it answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from shared.domain.accumulator import AccumulatorKey
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.member_rows import LedgerSums, PostedUnits
from shared.domain.records import MemberRef
from shared.domain.visit import VisitKey

_GROUP = """l.payer_id, l.member_id, l.plan_id, l.limit_id, l.basis, l.period_start, l.period_end, l.subject,
    l.service_date, l.client_id, l.visit_id, l.hold_id"""

#: To be formatted with `source`: the entries, as `l`.
LEDGER_SUMS = f"""
select {_GROUP}, sum(l.used_delta)::bigint, sum(l.held_delta)::bigint, max(l.version)
  from {{source}}
 group by {_GROUP}
"""


def sums_from(rows: Iterable[Any]) -> defaultdict[MemberRef, LedgerSums]:
    """What the rows of `LEDGER_SUMS` add up to, by member; nothing for members without entries."""
    units: dict[MemberRef, list[PostedUnits]] = defaultdict(list)
    versions: dict[MemberRef, dict[AccumulatorKey, int]] = defaultdict(dict)
    for payer, member, plan, limit, basis, start, end, subject, *rest in rows:
        on, client, visit, hold_id, used, held, version = rest
        ref = MemberRef(payer_id=payer, member_id=member)
        period = BenefitPeriod(basis=basis, start=start, end=end, subject=subject)
        key = AccumulatorKey(plan_id=plan, limit_id=limit, period=period)
        versions[ref][key] = max(version, versions[ref].get(key, 0))
        if used or held:
            name = VisitKey(client_id=client, visit_id=visit) if visit is not None else None
            posted = PostedUnits(key=key, on=on, visit=name, hold_id=hold_id, used=used, held=held)
            units[ref].append(posted)
    found = {ref: LedgerSums(units=tuple(units[ref]), versions=known) for ref, known in versions.items()}
    return defaultdict(LedgerSums, found)
