"""Events that wait as rows: their columns, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.domain.inbox import PendingEvent
from shared.domain.visit import VisitKey

#: Of an event `e` that waits as `w`.
PENDING_COLUMNS = """
select e.arrival, e.shard, e.payer_id, e.client_id, e.visit_id, e.event_id, e.type,
       (e.received_at at time zone 'UTC')::date, e.content::text, w.attempts, e.member_id,
       exists (select from visit v
                where v.payer_id = e.payer_id and v.client_id = e.client_id and v.visit_id = e.visit_id)
"""


def pending_from(rows: Sequence[Sequence[Any]]) -> list[PendingEvent]:
    """The events of rows with `PENDING_COLUMNS`. Contents that differ in the member alone are read once."""
    read: dict[str, Mapping[str, Any]] = {}
    # What says the same in most rows becomes one text, whose hash and equality are found at once.
    same: dict[str, Any] = {}
    events = []
    for row in rows:
        arrival, shard, payer, client, visit_id, event_id, kind, received_on, text, attempts = row[:10]
        member, visit_stored = row[10:]
        payer, client, kind = (
            same.setdefault(payer, payer),
            same.setdefault(client, client),
            same.setdefault(kind, kind),
        )
        content, said = (None, None) if text is None else _content_from(text, member, read)
        events.append(
            PendingEvent(
                arrival=arrival,
                shard=shard,
                payer_id=payer,
                key=VisitKey(client_id=client, visit_id=visit_id),
                event_id=event_id,
                type=kind,
                received_on=received_on,
                content=content,
                attempts=attempts,
                said=said,
                visit_stored=visit_stored,
            )
        )
    return events


def _content_from(
    text: str, member_id: str | None, read: dict[str, Mapping[str, Any]]
) -> tuple[Mapping[str, Any], str | None]:
    """A content, and its text without the member; `read` keeps the contents read so far by that text."""
    # Within a string a quotation mark has a backslash before it, so this is the field and nothing else.
    member = orjson.dumps(member_id).decode()
    said = text.replace(f'"member_id":{member}', "", 1)
    if said == text:
        # As jsonb wrote it, in which contents were kept at first.
        said = text.replace(f'"member_id": {member}', "", 1)
    if said == text:
        content: Mapping[str, Any] = orjson.loads(text)
        return content, None
    like = read.get(said)
    if like is None:
        like = read[said] = orjson.loads(text)
    return {**like, "member_id": member_id}, said
