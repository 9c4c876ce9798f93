"""A member's row, and what the ledger says of the member: what a rebuild starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from shared.domain.accumulator import AccumulatorKey
from shared.domain.record import record
from shared.domain.records import MemberRef
from shared.domain.visit import VisitKey


@record(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A locked member's row; `merged_into` is the id of the member it was merged into, if it was.

    `last_arrival` is not before the arrival of any of the member's own visits and holds.
    """

    ref: MemberRef
    version: int
    ledger_entries: int
    ledger_head: bytes
    merged_into: str | None = None
    last_arrival: int = 0

    @property
    def home(self) -> MemberRef:
        """The member in whose book this one's visits are."""
        if self.merged_into is None:
            return self.ref
        return MemberRef(payer_id=self.ref.payer_id, member_id=self.merged_into)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedUnits:
    """What all ledger entries of one accumulator, cause and service date add up to.

    The cause is a visit, a hold, or an opening balance where both are None.
    """

    key: AccumulatorKey
    on: date
    visit: VisitKey | None
    hold_id: str | None
    used: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSums:
    """A member's ledger, added up: units that are not zero, and the version each accumulator reached."""

    units: tuple[PostedUnits, ...] = ()
    versions: Mapping[AccumulatorKey, int] = field(default_factory=dict)
