"""What a service was told, as the reference model takes it: kept beside the service, never read from it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

Row = dict[str, Any]
#: By which a visit event is known: its client's id and its own.
EventName = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Told:
    """Everything of one payer that states are a function of (I4), in the order in which it was accepted."""

    rules: Row
    plans: dict[str, Row]
    members: list[str]
    spans: dict[str, list[Row]]
    #: Every accepted event, with its place in the order of arrival.
    events: dict[EventName, Row] = field(default_factory=dict)
    holds: dict[str, Row] = field(default_factory=dict)
    overrides: dict[str, Row] = field(default_factory=dict)
    #: By whom they are stated: member, plan, limit, date, source.
    openings: dict[tuple[Any, ...], Row] = field(default_factory=dict)
    decisions: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Members that are another one now, by their old names.
    merged: dict[str, str] = field(default_factory=dict)
    _arrivals: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def next_arrival(self) -> int:
        """The next place among all that was accepted."""
        return next(self._arrivals)

    @property
    def homes(self) -> list[str]:
        """The members that are not another one."""
        return [member for member in self.members if member not in self.merged]

    def home(self, member: str) -> str:
        """The member that a name leads to."""
        return self.merged.get(member, member)

    def merge(self, source: str, into: str) -> None:
        """Two members are one; where only the first was enrolled, the other one is from now on."""
        self.spans[into] = union(self.spans[into], self.spans[source])
        for name, home in list(self.merged.items()):
            if home == source:
                self.merged[name] = into
        self.merged[source] = into

    def world(self, applied: Collection[EventName]) -> Row:
        """The world of which the reference model says what has become of it."""
        events = [
            {**row, "content": self._at_home(row["content"])}
            for name, row in self.events.items()
            if name in applied
        ]
        return {
            "rules": self.rules,
            "plans": self.plans,
            "members": {home: self._member(home) for home in self.homes},
            "events": events,
            "holds": [self._at_home(row) for row in self.holds.values()],
            "overrides": [self._at_home(row) for row in self.overrides.values()],
            "decisions": self.decisions,
        }

    def _member(self, home: str) -> Row:
        openings = [row for row in self.openings.values() if self.home(row["member"]) == home]
        return {"spans": self.spans[home], "openings": openings}

    def _at_home(self, row: Row | None) -> Row | None:
        return None if row is None else {**row, "member": self.home(row["member"])}


def union(own: list[Row], others: list[Row]) -> list[Row]:
    """The spans of a member who is enrolled as `own` say, and on all other dates as `others` do."""
    edges = sorted({span["start"] for span in (*own, *others)} | {_end(span) for span in (*own, *others)})
    united = []
    for start, end in itertools.pairwise(edges):
        found = _on(own, start) or _on(others, start)
        if found is not None:
            united.append({"plan": found["plan"], "start": start, "end": None if end == date.max else end})
    return united


def _end(span: Row) -> date:
    end: date | None = span["end"]
    return date.max if end is None else end


def _on(spans: list[Row], day: date) -> Row | None:
    return next((span for span in spans if span["start"] <= day < _end(span)), None)
