"""Visits as those see them who must explain a count (contract I14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from shared.domain.visit import Disposition, EventType


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class VisitPlace:
    """A visit's place in a listing: by service date, then by arrival, then by its name."""

    service_date: date
    arrival: int
    client_id: str
    visit_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitRow:
    """A visit as it stands, who reported it, what became of it, and the events behind it.

    `content` and `outcome` are the stored JSON objects; `events` are (event id, type, received at).
    `override_ids` are the overrides granted to this visit alone, behind its `granted` units, and
    `posted_hold_id` the hold whose units it took.
    """

    place: VisitPlace
    client_name: str
    content: Mapping[str, Any]
    disposition: Disposition
    plan_id: str | None
    outcome: Mapping[str, Any]
    events: Sequence[tuple[str, EventType, datetime]]
    override_ids: Sequence[str] = ()
    posted_hold_id: str | None = None
