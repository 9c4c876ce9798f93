"""Accepts visit events: durable before they are answered (I1), once for ever (I2)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime

from services.coverage_api.errors import EventConflict
from services.coverage_api.known_keys import KeyChanged, prefixes_of
from services.coverage_api.ports import ApiTransaction, Tools
from services.coverage_api.usecases.incoming import EventName, VisitReport, audit_of, new_events
from shared.domain.inbox import NewEvent
from shared.domain.receipt import Receipt, StoredReceipt
from shared.domain.record import record
from shared.failpoints import Step, around
from shared.ports import Ahead, Sent


@record(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The receipt of an event. `replayed` says that it was accepted before."""

    receipt: Receipt
    replayed: bool


def record_visit_events(
    tools: Tools, reports: Sequence[VisitReport], sent: Sent
) -> list[Acceptance | EventConflict | KeyChanged]:
    """Accept events, in order, in one commit; one answer for each, in order.

    One whose key does not stand any more is not accepted. An event that is there already with the same
    payload is a replay; with another, a conflict. The same holds for one that stands twice in `reports`.
    `sent` is called when only the commit is waited for.
    Raises StoreUnavailable, after which it is not known whether they were accepted: sending them again
    is safe.
    """
    if not reports:
        return []
    ahead = Ahead(credentials=prefixes_of(reports))
    with tools.store.transaction(sorted({report.payer_id for report in reports}), ahead=ahead) as tx:
        now = tools.clock()
        confirmed = tools.keys.confirm(tx, reports, now)
        standing = list(itertools.compress(reports, confirmed))
        shards, answers = _accept(tx, standing, now)
        tx.audit.record(
            audit_of(
                report
                for report, answer in zip(standing, answers, strict=True)
                if isinstance(answer, Acceptance)
            )
        )
        with around(Step.INBOX_COMMIT):
            tx.commit(sent)
    if shards:
        tools.wakeups.wake(shards)
    accepted = iter(answers)
    return [next(accepted) if stands else KeyChanged() for stands in confirmed]


def _accept(
    tx: ApiTransaction, reports: Sequence[VisitReport], now: datetime
) -> tuple[set[int], list[Acceptance | EventConflict]]:
    """Store what is new; the shards that have work then, and an answer for each."""
    firsts: dict[EventName, VisitReport] = {}
    for report in reports:
        firsts.setdefault(report.name, report)
    new = new_events(list(firsts.values()), now)
    stored = tx.inbox.accept(new) if new else {}
    there = [name for name in firsts if name not in stored]
    known = {_name_of(event): _first_receipt(event) for event in new if _name_of(event) in stored}
    known.update(tx.receipts.find(there) if there else {})
    return set(stored.values()), _answers(reports, known, set(stored))


def _answers(
    reports: Sequence[VisitReport], known: Mapping[EventName, StoredReceipt], fresh: set[EventName]
) -> list[Acceptance | EventConflict]:
    """One for each report; the first of a name in `fresh` is no replay."""
    answers = []
    for report in reports:
        answers.append(_answer(report, known.get(report.name), replayed=report.name not in fresh))
        fresh.discard(report.name)
    return answers


def _name_of(event: NewEvent) -> EventName:
    return event.client_id, event.event_id


def _first_receipt(event: NewEvent) -> StoredReceipt:
    receipt = Receipt(event_id=event.event_id, status="pending", received_at=event.received_at)
    return StoredReceipt(
        receipt=receipt,
        payload_digest=event.payload_digest,
        payer_id=event.payer_id,
        member_id=event.member_id,
    )


def _answer(
    report: VisitReport, known: StoredReceipt | None, *, replayed: bool
) -> Acceptance | EventConflict:
    """What a client is told of one event. One of a payer that it may not see now is not shown."""
    if known is None or known.payload_digest != report.payload_digest:
        return EventConflict()
    return Acceptance(receipt=known.receipt, replayed=replayed)
