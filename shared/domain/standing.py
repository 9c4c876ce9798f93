"""Where the service stands with the visit events it accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Received = applied + rejected + dead + pending, at every moment (I7). `discarded` are of the dead."""

    received: int = 0
    applied: int = 0
    rejected: int = 0
    dead: int = 0
    pending: int = 0
    discarded: int = 0
    oldest_pending_at: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing disappeared: each event received is in exactly one of the other counts."""
        return self.received == self.applied + self.rejected + self.dead + self.pending

    def plus(self, other: EventCounts) -> EventCounts:
        """Both together."""
        oldest = [at for at in (self.oldest_pending_at, other.oldest_pending_at) if at is not None]
        return EventCounts(
            received=self.received + other.received,
            applied=self.applied + other.applied,
            rejected=self.rejected + other.rejected,
            dead=self.dead + other.dead,
            pending=self.pending + other.pending,
            discarded=self.discarded + other.discarded,
            oldest_pending_at=min(oldest, default=None),
        )
