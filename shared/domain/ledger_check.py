"""What is checked of the ledger, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.domain.records import LedgerEntry, MemberRef

Fault = Literal[
    "entry_missing",
    "hash_differs",
    "version_gap",
    "sum_differs",
    "over_limit",
    "tail_missing",
    "head_differs",
    "accumulator_differs",
]

FAULTS: dict[Fault, str] = {
    "entry_missing": "entries before it are missing",
    "hash_differs": "it, or what its hash is chained to, was changed",
    "version_gap": "its accumulator's version does not follow the one before",
    "sum_differs": "what it says is used and held is not what its units add up to",
    "over_limit": "it counts more than was allowed",
    "tail_missing": "it and the entries after it, up to the member's number, are missing",
    "head_differs": "its hash is not the one the member's row ends with",
    "accumulator_differs": "its accumulator's row says something else",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFault:
    """The first thing wrong with a member's ledger, at entry `entry_no`."""

    ref: MemberRef
    entry_no: int
    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEnd:
    """Where a member's row says the chain ends: the number of entries, and the hash of the last."""

    ref: MemberRef
    entries: int
    head: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One row of a walk along the ledger: a member's end, and an entry, or None if it has none."""

    end: LedgerEnd
    entry: LedgerEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMismatch:
    """An accumulator whose row is not what its ledger entries add up to; counts of units and entries.

    `entry_no` is the last of its entries, 0 if it has none.
    """

    ref: MemberRef
    limit_id: str
    used: int
    held: int
    version: int
    posted_used: int
    posted_held: int
    posted_version: int
    entry_no: int
