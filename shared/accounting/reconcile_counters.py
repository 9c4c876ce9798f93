"""Comparing Redis counters with the accumulators they show, and writing the wrong ones anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from shared.domain.client import EVERY_PAYER
from shared.domain.records import CounterImage, MemberRef
from shared.failpoints import Step, around
from shared.ports import Counters, DisposableCounters


class CounterQueue(Protocol):
    """What counters should show, and which of them wait to be shown."""

    def images(self, refs: Sequence[MemberRef]) -> list[CounterImage]:
        """What the counters of those of these members that exist should show, all as of one moment."""
        ...

    def queued(self, refs: Sequence[MemberRef]) -> set[MemberRef]:
        """Those of these members that are on the queue."""
        ...


class CounterTransaction(Protocol):
    """One open transaction that sees the queue of counters."""

    @property
    def outbox(self) -> CounterQueue:
        """Counters to project."""
        ...


class CounterDatabase(Protocol):
    """Hands out transactions."""

    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None
    ) -> AbstractContextManager[CounterTransaction]:
        """One transaction that sees `payers`. Raises StoreUnavailable when it cannot answer in time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReport:
    """Of the members compared: counters that were not there, which is no fault, and those that were wrong.

    `behind` are older than the accumulators and not on their way, `ahead` newer, `different` show
    something else at the same version.
    """

    compared: int = 0
    missing: tuple[MemberRef, ...] = ()
    behind: tuple[MemberRef, ...] = ()
    ahead: tuple[MemberRef, ...] = ()
    different: tuple[MemberRef, ...] = ()

    @property
    def wrong(self) -> tuple[MemberRef, ...]:
        """Everyone whose counter is wrong."""
        return (*self.behind, *self.ahead, *self.different)


def reconcile_counters(
    database: CounterDatabase, counters: DisposableCounters, refs: Sequence[MemberRef]
) -> CounterReport:
    """Compare these members' counters and write anew those that are wrong or not there.

    Raises StoreUnavailable and CountersUnavailable; then some may be written. Safe to run twice.
    """
    report = compare_counters(database, counters, refs)
    amiss = (*report.wrong, *report.missing)
    if amiss:
        # First away with them, since a counter that is ahead refuses an older one; meanwhile Postgres
        # answers. Then from Postgres as it is now: a newer one may have been deleted with the wrong one.
        with around(Step.RECONCILE_FORGET):
            counters.forget(report.wrong)
        with database.transaction(EVERY_PAYER) as tx:
            images = tx.outbox.images(amiss)
        with around(Step.RECONCILE_WRITE):
            counters.project(images)
    return report


def compare_counters(
    database: CounterDatabase, counters: Counters, refs: Sequence[MemberRef]
) -> CounterReport:
    """Which of these members' counters are wrong. Raises StoreUnavailable, CountersUnavailable."""
    # Redis first: what is written there was committed before, so it can be older than what Postgres
    # says afterwards, but not newer.
    shown = counters.read(refs)
    with database.transaction(EVERY_PAYER) as tx:
        true = {image.ref: image for image in tx.outbox.images(refs)}
        queued = tx.outbox.queued(refs)
    late = [ref for ref in shown if shown[ref].version < _version(true, ref) and ref not in queued]
    # A counter may have been written, and taken off the queue, between the two looks.
    again = counters.read(late) if late else {}
    return CounterReport(
        compared=len(shown),
        # Of a member of whom nothing was ever counted no counter is made.
        missing=tuple(
            ref for ref, image in true.items() if ref not in shown and ref not in queued and image.version
        ),
        behind=tuple(ref for ref, image in again.items() if image.version < true[ref].version),
        ahead=tuple(ref for ref, image in shown.items() if image.version > _version(true, ref)),
        different=tuple(
            ref
            for ref in shown
            if ref in true
            and not _same(shown[ref], true[ref])
            and ref not in late
            and shown[ref].version == true[ref].version
        ),
    )


def _version(images: Mapping[MemberRef, CounterImage], ref: MemberRef) -> int:
    return images[ref].version if ref in images else -1


def _same(one: CounterImage, other: CounterImage) -> bool:
    """Whether two images show the same accumulators, in whatever order."""
    return {a.state.key: a for a in one.accumulators} == {a.state.key: a for a in other.accumulators}
