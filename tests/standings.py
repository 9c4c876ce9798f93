"""What is kept of a member's standing with an answer."""

from __future__ import annotations

from datetime import date

from shared.accounting.standing_codec import counts_apart, with_visits
from shared.domain.determination import MemberStanding


def standing_apart(standing: MemberStanding, on: date, hold_id: str | None) -> bytes:
    """All of it but the member's id, as an answer to a check on a service date keeps it."""
    return with_visits(counts_apart(standing, hold_id), standing, on)
