"""Accepts many visit events at once, as they stream in: durable and once, like single ones (I1, I2)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.coverage_api.auditing import CallAudit
from services.coverage_api.errors import Unauthenticated
from services.coverage_api.ports import Tools
from services.coverage_api.stream_turns import Turn
from services.coverage_api.usecases.incoming import audit_of_stream, destinations_of_stream
from shared.domain.client import Client, CredentialRecord
from shared.domain.intake import Intake, NotAllNew, StreamedEvent
from shared.failpoints import Step, around
from shared.ports import Ahead

_NOTHING = Intake(accepted=0, replayed=0, conflicts=frozenset(), shards=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of a part's events.

    At the places (0-based) `conflicts` are those that clash with another event of the same name, at
    `withdrawn` those of payers that the client was granted and is no longer.
    """

    accepted: int
    replayed: int
    conflicts: frozenset[int]
    withdrawn: frozenset[int]


class _Withdrawn(Exception):
    """The client does not see the payers of all events any more; `client` is how it stands."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client


def load_visit_events(
    tools: Tools, audit: CallAudit, events: Sequence[StreamedEvent], turn: Turn, *, all_new: bool
) -> Loaded:
    """Accept one part of the stream of a call, in order, in one commit, when it is its turn.

    The key or token that the stream came with is looked up again for each part: a stream may take hours.
    `all_new` says that it is worth trying whether none of them is there yet.
    Raises Unauthenticated when it opens nothing any more, and StoreUnavailable, after which it is not known
    whether the part was accepted: sending it again is safe.
    """
    places: Sequence[int] = range(len(events))
    while True:
        seen = events if len(places) == len(events) else [events[place] for place in places]
        try:
            intake = _load_seen(tools, audit, seen, turn, all_new=all_new)
        except _Withdrawn as withdrawn:
            places = [place for place in places if withdrawn.client.sees(events[place].payer_id)]
            continue
        return Loaded(
            accepted=intake.accepted,
            replayed=intake.replayed,
            conflicts=frozenset(places[place] for place in intake.conflicts),
            withdrawn=frozenset(range(len(events))).difference(places),
        )


def _load_seen(
    tools: Tools, audit: CallAudit, events: Sequence[StreamedEvent], turn: Turn, *, all_new: bool
) -> Intake:
    """Accept events of payers that the client sees. Raises _Withdrawn if it does not see them all."""
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
    """Accept them in one transaction. Raises NotAllNew if they were said to be and are not, or _Withdrawn."""
    destinations = destinations_of_stream(events)
    payers = sorted({event.payer_id for event in events})
    credential = audit.client.credential
    with tools.store.transaction(payers, ahead=Ahead(credentials=[credential])) as tx:
        _require_open(tx.clients.find([credential]).get(credential), payers, tools.clock())
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


def _require_open(found: CredentialRecord | None, payers: Iterable[str], now: datetime) -> None:
    """Raises Unauthenticated unless a key or token is open, and _Withdrawn unless it opens these payers."""
    if found is None or not found.is_open(now):
        raise Unauthenticated
    if not all(map(found.client.sees, payers)):
        raise _Withdrawn(found.client)
