"""Compare some counters with the accumulators they show, and put right those that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from services.counter_worker import log_events, totals
from services.counter_worker.ports import Tools
from shared.accounting.drain import EVERY_PAYER
from shared.domain.errors import CountersUnavailable
from shared.domain.records import CounterImage, MemberRef
from shared.messages import SAMPLE_DRIFT

SAMPLE_SIZE = 500

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Counters that are wrong; one that is not there is not.

    `behind` are those older than the accumulators and not on the queue, `ahead` those newer,
    `different` those that show something else at the same version.
    """

    compared: int = 0
    behind: tuple[MemberRef, ...] = ()
    ahead: tuple[MemberRef, ...] = ()
    different: tuple[MemberRef, ...] = ()

    @property
    def members(self) -> tuple[MemberRef, ...]:
        """Everyone whose counter is wrong."""
        return (*self.behind, *self.ahead, *self.different)


def sample_drift(tools: Tools, size: int = SAMPLE_SIZE) -> Drift:
    """Compare about `size` counters at random and have the wrong ones projected anew.

    Nothing is compared while Redis is away or another worker is at it. Raises StoreUnavailable.
    """
    with tools.store.transaction(EVERY_PAYER) as tx:
        if not tx.jobs.claim(SAMPLE_DRIFT):
            return Drift()
        refs = tx.outbox.sample(size)
        tx.jobs.note_run(SAMPLE_DRIFT)
        tx.commit()
    try:
        drift = compare(tools, refs)
        _put_right(tools, drift.members)
    except CountersUnavailable:
        return Drift()
    tools.totals.add(totals.DRIFT_COMPARED, drift.compared)
    tools.totals.add(totals.DRIFT_FOUND, len(drift.members))
    if drift.members:
        _log.error(
            log_events.DRIFT_FOUND,
            compared=drift.compared,
            behind=len(drift.behind),
            ahead=len(drift.ahead),
            different=len(drift.different),
        )
    return drift


def compare(tools: Tools, refs: Sequence[MemberRef]) -> Drift:
    """Which of these members' counters are wrong. Raises StoreUnavailable, CountersUnavailable."""
    # Redis first: what is written there was committed before, so it can be older than what Postgres
    # says afterwards, but not newer.
    shown = tools.counters.read(refs)
    with tools.store.transaction(EVERY_PAYER) as tx:
        true = {image.ref: image for image in tx.outbox.images(list(shown))}
        queued = tx.outbox.queued(list(shown))
    late = [ref for ref in shown if ref in true and shown[ref].version < true[ref].version]
    # A counter may have been written, and taken off the queue, between our two looks.
    again = tools.counters.read([ref for ref in late if ref not in queued])
    return Drift(
        compared=len(shown),
        behind=tuple(ref for ref, image in again.items() if image.version < true[ref].version),
        ahead=tuple(ref for ref in shown if shown[ref].version > _version(true, ref)),
        different=tuple(
            ref
            for ref in shown
            if shown[ref].version == _version(true, ref) and not _same(shown[ref], true[ref])
        ),
    )


def _version(images: Mapping[MemberRef, CounterImage], ref: MemberRef) -> int:
    return images[ref].version if ref in images else -1


def _same(one: CounterImage, other: CounterImage) -> bool:
    """Whether two images show the same accumulators, in whatever order."""
    return {a.state.key: a for a in one.accumulators} == {a.state.key: a for a in other.accumulators}


def _put_right(tools: Tools, refs: Sequence[MemberRef]) -> None:
    """Delete wrong counters, so that Postgres answers, and have the sweep project them anew.

    In this order: a counter that is not there is right, one on the queue is still wrong. And anew from
    Postgres, since a newer one may have been written meanwhile and was deleted with it.
    """
    if refs:
        tools.counters.forget(refs)
        with tools.store.transaction(EVERY_PAYER) as tx:
            tx.outbox.queue(refs)
            tx.commit()
