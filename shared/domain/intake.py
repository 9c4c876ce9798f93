"""Visit events that come in as a stream: one as the inbox takes it, and what became of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from shared.domain.errors import NeedlecapError


class StreamedEvent(NamedTuple):
    """A valid visit event of a stream: a plain tuple, since they come by the thousand.

    `content` is the normalized JSON object as UTF-8, None for a void; `member_id` and `hold_id` are those
    that it names. `payload_digest` is as of any other event.
    """

    payer_id: str
    event_id: str
    type: str
    visit_id: str
    member_id: str | None
    hold_id: str | None
    content: bytes | None
    payload_digest: bytes


class NotAllNew(NeedlecapError):
    """Some of these events are there already, or come twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What became of many events that were given to the inbox at once.

    `accepted` were stored now, `replayed` were there before with the same payload. At the places (0-based)
    `conflicts` are those that clash with another event of the same name. `shards` have work now.
    """

    accepted: int
    replayed: int
    conflicts: frozenset[int]
    shards: frozenset[int]
