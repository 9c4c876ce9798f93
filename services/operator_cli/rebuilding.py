"""Rebuilds many members, chunk by chunk, and goes on past those that cannot be rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.operator_cli.operations import Operations
from services.operator_cli.progress import Advance
from shared.accounting.rebuild import Group, Rebuilt, rebuild_group
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import StoreUnavailable
from shared.domain.records import Cause, MemberRef
from shared.domain.visit import VisitName

#: A chunk is one transaction: its members are locked while it is folded.
MEMBERS_MAX = 100
VISITS_MAX = 100
#: How many places in the order of arrival are looked through at once for visits without a member.
ARRIVALS_MAX = 20_000


@dataclass(slots=True, kw_only=True)
class RebuildReport:
    """What was found so far. `failed` are the kinds of error that kept members from being rebuilt."""

    members: int = 0
    visits: int = 0
    differing: int = 0
    visits_differing: int = 0
    entries: int = 0
    unshown: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, found: Rebuilt) -> None:
        """Add what one chunk came to."""
        self.members += found.members
        self.visits += found.visits
        self.differing += len(found.differing)
        self.visits_differing += found.visits_differing
        self.entries += found.entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilder:
    """Rebuilds under one cause; with `keep` False it only looks."""

    operations: Operations
    cause: Cause
    keep: bool
    report: RebuildReport = field(default_factory=RebuildReport)

    def members(self, pages: Iterable[Sequence[MemberRef]], advance: Advance) -> None:
        """Rebuild every member of every page."""
        for page in pages:
            self._each([Group(members=frozenset([ref])) for ref in page], Group(members=frozenset(page)))
            advance(len(page))

    def visits_adrift(self, payer_id: str | None, advance: Advance) -> None:
        """Rebuild the members of visits whose rows are gone, or are not sure whose they are."""
        with self.operations.database.transaction(EVERY_PAYER) as tx:
            last = tx.rebuilding.last_arrival()
        for start in range(0, last, ARRIVALS_MAX):
            with self.operations.database.transaction(EVERY_PAYER) as tx:
                names = tx.rebuilding.visits_adrift(payer_id, start, start + ARRIVALS_MAX)
            for at in range(0, len(names), VISITS_MAX):
                chunk: list[VisitName] = names[at : at + VISITS_MAX]
                self._each(
                    [Group(visits=frozenset([name])) for name in chunk], Group(visits=frozenset(chunk))
                )
            advance(min(ARRIVALS_MAX, last - start))

    def _each(self, parts: Sequence[Group], whole: Group) -> None:
        """Rebuild a chunk as a whole; if that fails, part by part, so that one fault stays alone."""
        try:
            self._rebuild(whole)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever one member breaks, the others go on
            for part in parts:
                self._rebuild_alone(part)

    def _rebuild_alone(self, part: Group) -> None:
        try:
            self._rebuild(part)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - only its kind is said: its text may speak of a person
            self.report.failed.append(type(error).__name__)

    def _rebuild(self, group: Group) -> None:
        operations = self.operations
        found = rebuild_group(
            operations.database, operations.rules, operations.clock, group, self.cause, keep=self.keep
        )
        self.report.add(found)
        if self.keep and not operations.show(found.images):
            self.report.unshown += len(found.images)
