"""Lists who called for something of a member, and who sent events about the member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.coverage_api.ports import Tools
from shared.domain.audit import TrailLine, TrailPlace, hashes_of
from shared.domain.records import MemberRef

PAGE_LINES_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSearch:
    """Whose trail, in `[start, end)`, behind the last line of the page before."""

    ref: MemberRef
    start: datetime | None = None
    end: datetime | None = None
    after: TrailPlace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailPage:
    """Lines by time; `next_after` where more follow."""

    lines: Sequence[TrailLine]
    next_after: TrailPlace | None


def search_audit(tools: Tools, hash_key: bytes, wanted: AuditSearch) -> TrailPage:
    """One page of a member's trail, under every id that the payer has for this person.

    `hash_key` is the installation's secret under which members are hashed.
    """
    ref = wanted.ref
    with tools.store.transaction([ref.payer_id]) as tx:
        members = hashes_of(hash_key, ref.payer_id, tx.audit.ids_of(ref))
        lines = tx.audit.trail(
            ref.payer_id, members, wanted.start, wanted.end, wanted.after, PAGE_LINES_MAX + 1
        )
    page = lines[:PAGE_LINES_MAX]
    return TrailPage(lines=page, next_after=page[-1].place if len(lines) > PAGE_LINES_MAX else None)
