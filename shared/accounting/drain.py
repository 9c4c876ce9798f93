"""Draining a shard of the inbox: claim, load, adjudicate, post, commit.

One call is one transaction over at most `batch_max` events. A batch that fails is applied again event
by event, so that a poison event is found and put aside without holding up its shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.accounting.posting import Posting
from shared.domain.errors import ConcurrentChange, StoreUnavailable
from shared.domain.inbox import PendingEvent
from shared.domain.records import CounterImage
from shared.ports import Clock, Database, RulesSource, Transaction

#: A drainer sees every payer: the walls are at the API.
EVERY_PAYER = ("*",)

#: An event that failed this often is dead: it waits for an operator.
ATTEMPTS_MAX = 5

#: A batch may take longer than a request: many members are folded in it.
DRAIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """What one call did. `more` says that the shard may have further work; `busy` that another has it."""

    busy: bool = False
    applied: int = 0
    failed: int = 0
    more: bool = False
    images: tuple[CounterImage, ...] = ()


def drain_shard(
    database: Database, rules: RulesSource, clock: Clock, shard: int, batch_max: int
) -> DrainReport:
    """Apply the shard's oldest pending events and refold requests, in one commit.

    Raises StoreUnavailable; what was not committed is applied again later, once (I2).
    """
    try:
        return _drain(database, rules, clock, shard, batch_max)
    except ConcurrentChange:
        return DrainReport(more=True)
    except StoreUnavailable:
        raise
    except Exception:  # noqa: BLE001 - whatever an event breaks, the others of its shard go on
        return _isolate(database, rules, clock, shard, batch_max)


def _drain(database: Database, rules: RulesSource, clock: Clock, shard: int, batch_max: int) -> DrainReport:
    now = clock()
    with database.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
        if not tx.inbox.claim_shard(shard):
            return DrainReport(busy=True)
        events = tx.inbox.pending(shard, batch_max, now)
        refolds = tx.books.due_refolds(shard, batch_max)
        if not events and not refolds:
            return DrainReport()
        posting = Posting(tx, rules, now)
        posting.open_for(events, refolds)
        tx.inbox.finish([posting.apply(event) for event in events], now)
        images = posting.save()
        tx.commit()
    more = len(events) == batch_max or len(refolds) == batch_max
    return DrainReport(applied=len(events), more=more, images=tuple(images))


def _isolate(database: Database, rules: RulesSource, clock: Clock, shard: int, batch_max: int) -> DrainReport:
    """Apply each pending event in a transaction of its own; count a failed attempt where one fails."""
    now = clock()
    with database.transaction(EVERY_PAYER) as tx:
        events: Sequence[PendingEvent] = tx.inbox.pending(shard, batch_max, now)
    applied, failed = 0, 0
    images: list[CounterImage] = []
    for event in events:
        try:
            images += _apply_alone(database, rules, shard, event, now)
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
    database: Database, rules: RulesSource, shard: int, event: PendingEvent, now: datetime
) -> list[CounterImage]:
    with database.transaction(EVERY_PAYER) as tx:
        if not tx.inbox.claim_shard(shard) or not _still_pending(tx, shard, event, now):
            return []
        posting = Posting(tx, rules, now)
        posting.open_for([event])
        tx.inbox.finish([posting.apply(event)], now)
        images = posting.save()
        tx.commit()
    return images


def _still_pending(tx: Transaction, shard: int, event: PendingEvent, now: datetime) -> bool:
    """Whether nobody applied it since it was read, now that the shard is ours."""
    return any(
        found.arrival == event.arrival for found in tx.inbox.pending_among(shard, [event.arrival], now)
    )


def _count_failure(database: Database, event: PendingEvent, error: Exception, now: datetime) -> None:
    """Record the kind of failure only: the text of an exception may speak of a person (I8)."""
    with database.transaction(EVERY_PAYER) as tx:
        tx.inbox.fail(event.arrival, type(error).__name__, now, ATTEMPTS_MAX)
        tx.commit()
