"""Accepts many visit events at once, as they stream in: durable and once, like single ones (I1, I2)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools
from services.coverage_api.stream_turns import Turn
from services.coverage_api.usecases.incoming import audit_of_stream, destinations_of_stream
from shared.domain.intake import Intake, NotAllNew, StreamedEvent
from shared.failpoints import Step, around

_NOTHING = Intake(accepted=0, replayed=0, conflicts=frozenset(), shards=frozenset())


def load_visit_events(
    tools: Tools, audit: CallAudit, events: Sequence[StreamedEvent], turn: Turn, *, all_new: bool
) -> Intake:
    """Accept one part of the stream of a call, in order, in one commit, when it is its turn.

    `all_new` says that it is worth trying whether none of them is there yet.
    Raises StoreUnavailable, after which it is not known whether the part was accepted: sending it
    again is safe.
    """
    if not events:
        turn.await_commit_before()
        return _NOTHING
    if all_new:
        with contextlib.suppress(NotAllNew):
            return _load(tools, audit, events, turn, all_new=True)
    return _load(tools, audit, events, turn, all_new=False)


def _load(
    tools: Tools, audit: CallAudit, events: Sequence[StreamedEvent], turn: Turn, *, all_new: bool
) -> Intake:
    """Accept them in one transaction. Raises NotAllNew if they were said to be and are not."""
    destinations = destinations_of_stream(events)
    with tools.store.transaction(sorted({event.payer_id for event in events})) as tx:
        intake = tx.bulk_inbox.take_in(
            audit.client.client_id,
            events,
            destinations,
            tools.clock(),
            turn.begin_writing,
            all_new=all_new,
        )
        turn.rows_are_written()
        accepted = events
        if intake.conflicts:
            accepted = [event for place, event in enumerate(events) if place not in intake.conflicts]
        tx.audit.record(audit_of_stream(audit, accepted))
        turn.await_commit_before()
        with around(Step.BULK_COMMIT):
            tx.commit()
    if intake.shards:
        tools.wakeups.wake(intake.shards)
    return intake
