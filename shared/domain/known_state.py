"""What was known of a member at a moment: the second axis of time, beside the service date."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.domain.hold import OpeningBalance, Override
from shared.domain.member_rows import LedgerSums
from shared.domain.records import MemberRef


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownState:
    """A member as of a moment.

    `ref` is the member whose books the name led to then. `pending_events` had been accepted and not
    applied yet.
    """

    ref: MemberRef
    ledger: LedgerSums = field(default_factory=LedgerSums)
    overrides: tuple[Override, ...] = ()
    opening_balances: tuple[OpeningBalance, ...] = ()
    pending_events: int = 0
