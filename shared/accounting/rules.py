"""The rules of one catalog, remembering what they said: an evaluation is pure, and visits repeat."""

from __future__ import annotations

from datetime import date

from shared.domain.catalog import Catalog
from shared.domain.enrollment import Plan
from shared.domain.evaluation import Evaluation, Situation, Source
from shared.domain.limit import Limit
from shared.domain.rule_evaluation import evaluate
from shared.domain.service import Service

_REMEMBERED_MAX = 20_000


class CatalogRules:
    """Answers from one immutable catalog. Safe to share between threads: a lost memory costs time only."""

    def __init__(self, catalog: Catalog) -> None:
        """Begin with nothing remembered."""
        self.catalog = catalog
        self._remembered: dict[Situation, Evaluation] = {}

    def evaluate(self, situation: Situation) -> Evaluation:
        """The evaluation of one service in its situation."""
        on = situation.service.service_date
        asked = self.catalog.bearing(situation.payer_id, situation.plan, on).situation(situation)
        known = self._remembered.get(asked)
        if known is None:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered = {}
            known = self._remembered[asked] = evaluate(self.catalog, asked)
        return known

    def bearing_on(self, payer_id: str, plan: Plan | None, service: Service) -> Service:
        """The service as far as it bears on what the rules say of it, and on the periods of their limits."""
        return self.catalog.bearing(payer_id, plan, service.service_date).service(service)

    def dates_bearing_on(self, on: date, dates: tuple[date, ...]) -> tuple[date, ...]:
        """The member's other needling dates, as far as they bear on what the rules say of a service date."""
        return self.catalog.turns.crowding(on, dates, on)

    def limits_on(self, payer_id: str, plan: Plan, on: date) -> tuple[tuple[Limit, Source], ...]:
        """Every limit that the rules set for a plan on a date, with the document that sets it."""
        return self.catalog.limits_on(payer_id, plan, on)
