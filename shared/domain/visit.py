"""Visits, and the visit events that make them up (contract sections 1 and 4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Literal, NamedTuple

from shared.domain.record import record
from shared.domain.service import Service

EventType = Literal["visit.recorded", "visit.corrected", "visit.voided"]
VisitStatus = Literal["completed", "no_show", "cancelled"]
DuplicateDecision = Literal["accepted", "rejected"]
Disposition = Literal[
    "counted",
    "partially_counted",
    "over_limit",
    "not_covered",
    "not_countable",
    "possible_duplicate",
    "voided",
]

EVENT_TYPES: tuple[str, ...] = ("visit.recorded", "visit.corrected", "visit.voided")
VISIT_STATUSES: tuple[str, ...] = ("completed", "no_show", "cancelled")


@record(frozen=True, slots=True, kw_only=True)
class VisitContent:
    """What a `visit.recorded` or `visit.corrected` says about a visit."""

    member_id: str
    service: Service
    self_pay: bool = False
    visit_status: VisitStatus = "completed"
    hold_id: str | None = None


@record(frozen=True, slots=True, kw_only=True)
class VisitEvent:
    """One accepted visit event. `arrival` is its place in the inbox, unique and rising.

    `content` is None for a void. `received_on` is the UTC calendar date of its receipt.
    """

    arrival: int
    client_id: str
    event_id: str
    type: EventType
    payer_id: str
    visit_id: str
    received_on: date
    content: VisitContent | None = None


class VisitKey(NamedTuple):
    """A visit of one payer is the client's: two clients may use the same `visit_id`.

    A tuple, as a member's name is: whatever is known of a visit is looked up by it.
    """

    client_id: str
    visit_id: str


#: A visit of a payer, by the payer's id.
VisitName = tuple[str, VisitKey]


@record(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one client's events about one `visit_id` add up to.

    `arrival` is that of its `visit.recorded` and None while only corrections or voids are here.
    `corrected_by` and `voided_by` are the arrivals of the events that took effect.
    """

    key: VisitKey
    arrival: int | None = None
    received_on: date | None = None
    content: VisitContent | None = None
    corrected_by: int | None = None
    voided_by: int | None = None
    duplicate_decision: DuplicateDecision | None = None

    @property
    def known(self) -> bool:
        """Whether its `visit.recorded` is here."""
        return self.arrival is not None

    @property
    def voided(self) -> bool:
        """Whether it was removed for good."""
        return self.voided_by is not None

    @property
    def member_id(self) -> str | None:
        """The member it is attributed to; None while nothing has said."""
        return self.content.member_id if self.content else None

    def accepts(self, event: VisitEvent) -> bool:
        """False for a second `visit.recorded` of one visit, which is rejected (`visit_exists`)."""
        return not (event.type == "visit.recorded" and self.known)

    def after(self, event: VisitEvent) -> Visit:
        """The visit once `event`, the latest to arrive, has taken effect.

        A correction replaces the content, the last one winning, also over a `visit.recorded` that
        comes after it. A second void, or a correction after a void, changes nothing.
        """
        if event.type == "visit.voided":
            return self if self.voided else replace(self, voided_by=event.arrival)
        if event.type == "visit.corrected":
            if self.voided:
                return self
            return replace(self, content=event.content, corrected_by=event.arrival)
        content = self.content if self.corrected_by is not None else event.content
        return replace(self, arrival=event.arrival, received_on=event.received_on, content=content)


def fold_events(
    key: VisitKey, events: Iterable[VisitEvent], decision: DuplicateDecision | None = None
) -> Visit:
    """The visit that its applied events add up to, whatever order they are given in."""
    visit = Visit(key=key, duplicate_decision=decision)
    for event in sorted(events, key=lambda e: e.arrival):
        visit = visit.after(event)
    return visit
