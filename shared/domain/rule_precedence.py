"""Which version of a rule document is in force on which service dates: the latest that speaks of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

from shared.domain.rule_document import RuleDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDates:
    """Service dates `[start, end)` of a version of a rule document; None is open."""

    version: int
    start: date | None
    end: date | None


def dates_of(document: RuleDocument) -> VersionDates:
    """The service dates that a version speaks of."""
    return VersionDates(version=document.version, start=document.effective_from, end=document.effective_until)


def in_force(versions: Iterable[VersionDates]) -> tuple[VersionDates, ...]:
    """When each of the running versions of one document is in force, in order of date.

    `versions` say of which dates each speaks. Where several do, the latest is in force, as
    `Catalog.select` has it. A version that a later one cuts in two is there twice, one that later ones
    cover is not there.
    """
    latest_first = sorted(versions, key=lambda dates: -dates.version)
    edges = sorted({day for dates in latest_first for day in (dates.start, dates.end) if day is not None})
    found: list[VersionDates] = []
    for start, end in pairwise([None, *edges, None]):
        current = next((dates.version for dates in latest_first if _speaks(dates, start, end)), None)
        if current is None:
            continue
        if found and (found[-1].version, found[-1].end) == (current, start):
            found[-1] = replace(found[-1], end=end)
        else:
            found.append(VersionDates(version=current, start=start, end=end))
    return tuple(found)


def instead_of(version: VersionDates, spans: Iterable[VersionDates]) -> tuple[VersionDates, ...]:
    """Of the dates that a version speaks of, those on which another is in force; `spans` by `in_force`."""
    found = []
    for span in spans:
        start = max(version.start or date.min, span.start or date.min)
        end = min(version.end or date.max, span.end or date.max)
        if span.version != version.version and start < end:
            found.append(
                replace(
                    span,
                    start=None if start == date.min else start,
                    end=None if end == date.max else end,
                )
            )
    return tuple(found)


def _speaks(dates: VersionDates, start: date | None, end: date | None) -> bool:
    """Whether a version speaks of all of `[start, end)`, within which no version begins or ends."""
    begun = dates.start is None or (start is not None and dates.start <= start)
    return begun and (dates.end is None or (end is not None and end <= dates.end))
