"""Draining shards of the inbox: claim, load, adjudicate, post, commit.

One call is one transaction over about `batch_max` events of all the shards it could claim, so that a
few events here and there cost no more than many in one place. A batch that fails is applied again
event by event, so that a poison event is found and put aside without holding up its shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.accounting.plain_lane import PlainTurns
from shared.accounting.posting import Posting
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import ConcurrentChange, StoreUnavailable
from shared.domain.inbox import PendingEvent
from shared.domain.records import CounterImage
from shared.failpoints import Step, around
from shared.ports import Clock, Database, RulesSource

#: An event that failed this often is dead: it waits for an operator.
ATTEMPTS_MAX = 5

#: A batch may take longer than a request: many members are folded in it.
DRAIN_SECONDS = 20.0

#: Events taken of each shard, however many shards share a batch.
_EVENTS_OF_A_SHARD_MIN = 16

#: Members folded again in one transaction, each with all its visits.
REFOLDS_MAX = 1_000

#: Corrections and voids in one transaction: each may have all visits of its member folded again.
CORRECTIONS_MAX = 1_000

#: Events of a failed batch that one call applies alone: each takes a transaction, and a task that takes too
#: long ends the worker.
ALONE_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """What one call did. `more`: a shard may have further work; `busy`: others have all of them."""

    busy: bool = False
    applied: int = 0
    failed: int = 0
    more: bool = False
    images: tuple[CounterImage, ...] = ()


def drain_shards(
    database: Database,
    rules: RulesSource,
    clock: Clock,
    shards: Sequence[int],
    batch_max: int,
    turns: PlainTurns | None = None,
) -> DrainReport:
    """Apply the oldest pending events and refold requests of these shards, in one commit.

    Shards that another drainer has are left to it. `turns` of plain visits are remembered from batch to
    batch. Raises StoreUnavailable; what was not committed is applied again later, once (I2).
    """
    try:
        return _drain(database, rules, clock, shards, batch_max, turns)
    except ConcurrentChange:
        return DrainReport(more=True)
    except StoreUnavailable:
        raise
    except Exception:  # noqa: BLE001 - whatever an event breaks, the others of its shard go on
        return _isolate(database, rules, clock, shards, batch_max)


def _drain(
    database: Database,
    rules: RulesSource,
    clock: Clock,
    shards: Sequence[int],
    batch_max: int,
    turns: PlainTurns | None,
) -> DrainReport:
    now = clock()
    of_each = max(batch_max // len(shards), min(batch_max, _EVENTS_OF_A_SHARD_MIN))
    refolds_max = min(batch_max, REFOLDS_MAX)
    with database.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
        with around(Step.SHARD_CLAIM):
            claimed = tx.inbox.claim_shards(shards)
        if not claimed:
            return DrainReport(busy=True)
        waiting = tx.inbox.pending(claimed, of_each, now)
        events = _up_to_corrections_max(waiting)
        refolds = tx.books.due_refolds(claimed, refolds_max)
        if not events and not refolds:
            return DrainReport()
        posting = Posting(tx, rules, now, turns)
        tx.inbox.finish(posting.apply_all(events, refolds), now)
        images = posting.save()
        with around(Step.DRAIN_COMMIT):
            tx.commit()
    of_shards = Counter(event.shard for event in events)
    full = max(of_shards.values(), default=0) >= of_each or len(events) < len(waiting)
    more = full or len(refolds) == refolds_max
    return DrainReport(applied=len(events), more=more, images=tuple(images))


def _up_to_corrections_max(waiting: Sequence[PendingEvent]) -> Sequence[PendingEvent]:
    """These events up to the first correction or void that is one too many; it is left, with the rest."""
    places = [place for place, event in enumerate(waiting) if event.type != "visit.recorded"]
    return waiting[: places[CORRECTIONS_MAX]] if len(places) > CORRECTIONS_MAX else waiting


def _isolate(
    database: Database, rules: RulesSource, clock: Clock, shards: Sequence[int], batch_max: int
) -> DrainReport:
    """Apply up to `ALONE_MAX` pending events, each in a transaction of its own.

    Where one fails, a failed attempt is counted. What is left is found by the sweep.
    """
    now = clock()
    with database.transaction(EVERY_PAYER) as tx:
        of_each = max(min(batch_max, ALONE_MAX) // len(shards), 1)
        events: Sequence[PendingEvent] = tx.inbox.pending(shards, of_each, now)
    applied, failed = 0, 0
    images: list[CounterImage] = []
    for event in events:
        try:
            images += _apply_alone(database, rules, event, now)
            applied += 1
        except ConcurrentChange:
            continue
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the kind of error is recorded with the event
            _count_failure(database, event, error, now)
            failed += 1
    return DrainReport(applied=applied, failed=failed, more=False, images=tuple(images))


def _apply_alone(
    database: Database, rules: RulesSource, event: PendingEvent, now: datetime
) -> list[CounterImage]:
    with database.transaction(EVERY_PAYER) as tx:
        # Whether nobody applied it since it was read shows once the shard is ours; and so does whether its
        # visit is known by now, which the event before it may have seen to.
        due = tx.inbox.pending_among([event.arrival], now) if tx.inbox.claim_shards([event.shard]) else []
        if not due:
            return []
        posting = Posting(tx, rules, now)
        tx.inbox.finish(posting.apply_all(due), now)
        images = posting.save()
        with around(Step.SINGLE_COMMIT):
            tx.commit()
    return images


def _count_failure(database: Database, event: PendingEvent, error: Exception, now: datetime) -> None:
    """Record the kind of failure only: the text of an exception may speak of a person (I8)."""
    with database.transaction(EVERY_PAYER) as tx:
        tx.inbox.fail(event.arrival, type(error).__name__, now, ATTEMPTS_MAX)
        with around(Step.FAILURE_COMMIT):
            tx.commit()
