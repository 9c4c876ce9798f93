"""Visit events on their way in: as a client sent them, and as the inbox takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import field
from datetime import datetime
from operator import attrgetter
from typing import Any

from services.coverage_api.auditing import CallAudit
from shared.domain.audit import AuditEntry
from shared.domain.client import CredentialRecord
from shared.domain.inbox import NewEvent
from shared.domain.intake import StreamedEvent
from shared.domain.record import record
from shared.domain.records import MemberRef
from shared.messages import shard_of, shards_of

#: By which an event is the same event: the client's id and its own.
EventName = tuple[str, str]

_payer_of, _visit_of, _member_of = map(attrgetter, ("payer_id", "visit_id", "member_id"))


@record(frozen=True, slots=True, kw_only=True)
class VisitReport:
    """A valid visit event as a client sent it, before it is accepted.

    `content` is what it says of the visit as a JSON object in the contract's field names, with its
    defaults; None for a void. `payload_digest` is the SHA-256 of the whole event in that form. `audit`
    is of the call that it came with, `caller` the client's key if it has still to be confirmed.
    """

    client_id: str
    payer_id: str
    event_id: str
    type: str
    visit_id: str
    content: dict[str, Any] | None
    payload_digest: bytes
    audit: CallAudit = field(repr=False, compare=False)
    caller: CredentialRecord | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> EventName:
        """By which an event is the same event."""
        return self.client_id, self.event_id

    @property
    def member_id(self) -> str | None:
        """The member that it names; a void names none."""
        return self.content["member_id"] if self.content is not None else None


def audit_of(accepted: Iterable[VisitReport]) -> list[AuditEntry]:
    """What the audit trail is told of accepted events: one entry for each call and payer.

    A single event's names its member. Of many the inbox itself tells for ever who sent what about whom.
    """
    groups: dict[tuple[int, str], list[VisitReport]] = {}
    for report in accepted:
        groups.setdefault((id(report.audit), report.payer_id), []).append(report)
    return [
        _entry(first.audit, first.payer_id, first.member_id, len(group))
        for first, group in ((group[0], group) for group in groups.values())
    ]


def audit_of_stream(audit: CallAudit, accepted: Sequence[StreamedEvent]) -> list[AuditEntry]:
    """What the audit trail is told of the accepted events of a part of a stream; see `audit_of`."""
    counts = Counter(map(_payer_of, accepted))
    members = dict(zip(map(_payer_of, accepted), map(_member_of, accepted), strict=True))
    return [_entry(audit, payer_id, members[payer_id], count) for payer_id, count in counts.items()]


def _entry(audit: CallAudit, payer_id: str, member_id: str | None, events: int) -> AuditEntry:
    if events == 1 and member_id is not None:
        return audit.entry(202, ref=MemberRef(payer_id=payer_id, member_id=member_id))
    return audit.entry_of_payer(202, payer_id, events)


def destinations_of(
    events: Iterable[tuple[Hashable, str, str, str | None]],
) -> Iterator[tuple[int, str | None]]:
    """The shard that each event goes to, and the member that it is about as far as these events tell.

    Each event is given by what tells its visit from others, its payer, its visit id and the member that it
    names, if it names one. Those of one visit share the shard of the first, to be applied in order; a void is
    about whom an event before it named.
    """
    shards: dict[Hashable, int] = {}
    members: dict[Hashable, str] = {}
    for visit, payer_id, visit_id, member_id in events:
        shard = shards.get(visit)
        if shard is None:
            shard = shards[visit] = shard_of(payer_id, member_id or visit_id)
        if member_id is None:
            yield shard, members.get(visit)
        else:
            members[visit] = member_id
            yield shard, member_id


def destinations_of_stream(events: Sequence[StreamedEvent]) -> list[tuple[int, str | None]]:
    """Shard and member of each event of a part of a client's stream, as `destinations_of` says for events."""
    if len(set(map(_visit_of, events))) == len(events):
        # None shares its visit with another, so none tells anything about another.
        members = list(map(_member_of, events))
        handles = [member or event.visit_id for member, event in zip(members, events, strict=True)]
        return list(zip(_shards_of_each(list(map(_payer_of, events)), handles), members, strict=True))
    return list(
        destinations_of(
            ((event.payer_id, event.visit_id), event.payer_id, event.visit_id, event.member_id)
            for event in events
        )
    )


def _shards_of_each(payers: Sequence[str], handles: Sequence[str]) -> list[int]:
    if payers and payers.count(payers[0]) == len(payers):
        return shards_of(payers[0], handles)
    return list(map(shard_of, payers, handles))


def new_events(reports: Sequence[VisitReport], received_at: datetime) -> list[NewEvent]:
    """The events for the inbox."""
    destinations = destinations_of(
        (
            (report.payer_id, report.client_id, report.visit_id),
            report.payer_id,
            report.visit_id,
            report.member_id,
        )
        for report in reports
    )
    return [
        NewEvent(
            payer_id=report.payer_id,
            client_id=report.client_id,
            event_id=report.event_id,
            type=report.type,
            visit_id=report.visit_id,
            member_id=member_id,
            shard=shard,
            content=report.content,
            payload_digest=report.payload_digest,
            received_at=received_at,
        )
        for report, (shard, member_id) in zip(reports, destinations, strict=True)
    ]
