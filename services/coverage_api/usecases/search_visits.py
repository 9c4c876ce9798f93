"""Lists a member's visits with what each of them moved, and why (contract I14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from services.coverage_api.ports import Tools
from shared.domain.hold import OpeningBalance
from shared.domain.records import MemberRef
from shared.domain.visit_listing import VisitPlace, VisitRow

PAGE_VISITS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitSearch:
    """Whose visits, with service dates in `[start, end)`, behind the last one of the page before."""

    ref: MemberRef
    start: date | None = None
    end: date | None = None
    after: VisitPlace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitPage:
    """Visits by service date and arrival; `next_after` where more follow. Balances are on the first page."""

    visits: Sequence[VisitRow]
    opening_balances: Sequence[OpeningBalance]
    next_after: VisitPlace | None


def search_visits(tools: Tools, wanted: VisitSearch) -> VisitPage:
    """One page of a member's visits."""
    with tools.store.transaction([wanted.ref.payer_id]) as tx:
        rows = tx.visits.page(wanted.ref, wanted.start, wanted.end, wanted.after, PAGE_VISITS_MAX + 1)
        balances = tx.visits.opening_balances(wanted.ref) if wanted.after is None else ()
    page = rows[:PAGE_VISITS_MAX]
    return VisitPage(
        visits=page,
        opening_balances=balances,
        next_after=page[-1].place if len(rows) > PAGE_VISITS_MAX else None,
    )
