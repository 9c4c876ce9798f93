"""Holds, overrides and opening balances: what changes an accumulator besides visits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from shared.domain.service import Service

HoldState = Literal["pending", "posted", "released", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Units promised to a scheduled visit.

    `arrival` is its place among all accepted events and holds. `ended_by` is the arrival of its
    release or expiry: a visit that arrived before may still post it, one after may not.
    """

    hold_id: str
    arrival: int
    service: Service
    quantity: int
    ended_by: int | None = None
    end_state: Literal["released", "expired"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Units granted on top of a limit, in the period that `service_date` names.

    They serve service dates before `expires_on` (None: all), and with `visit_id` that visit alone,
    whatever the order.
    """

    override_id: str
    limit_id: str
    service_date: date
    quantity: int
    expires_on: date | None = None
    visit_id: str | None = None

    def serves(self, day: date) -> bool:
        """Whether its units can be used by a service on `day`."""
        return self.expires_on is None or day < self.expires_on


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningBalance:
    """Units used elsewhere before we began to count, with where that is known from.

    `sequence` orders the statements of one source: a newer one replaces, an older one is ignored.
    """

    plan_id: str
    limit_id: str
    service_date: date
    quantity: int
    source: str
    sequence: int
