"""What a receipt tells of an applied event, in the contract's shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.accounting.codec import Json, key_to, reason_to, shown_period
from shared.domain.accumulator import AccumulatorKey
from shared.domain.history import VisitOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one change did to one accumulator, as the receipt of its event tells it."""

    key: AccumulatorKey
    used_before: int
    used_after: int
    allowed: int


def effect_to(effect: Effect) -> Json:
    """One accumulator around the event."""
    key = effect.key
    return {
        "limit_id": key.limit_id,
        "plan_id": key.plan_id,
        "period": shown_period(key.period),
        "used_before": effect.used_before,
        "used_after": effect.used_after,
        "allowed": effect.allowed,
    }


def receipt_outcome(outcome: VisitOutcome, effects: Iterable[Effect]) -> Json:
    """The receipt's `outcome`."""
    return {
        "disposition": outcome.disposition,
        "reasons": [reason_to(reason) for reason in outcome.reasons],
        "accumulators": [effect_to(effect) for effect in effects],
        "binding": key_to(outcome.binding) if outcome.binding else None,
    }
