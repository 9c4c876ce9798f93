"""Checking the ledger: each member's chain from its first entry to its end, and what it adds up to.

Pure over the rows of a walk, of which it remembers one member's running sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from shared.accounting.book import chain_hash
from shared.domain.accumulator import AccumulatorKey
from shared.domain.ledger_check import Fault, LedgerEnd, LedgerFault, LedgerRow
from shared.domain.records import LedgerEntry


def faults_in(walk: Iterable[LedgerRow]) -> Iterator[LedgerFault]:
    """The first fault of each member whose ledger has one, in the order of the walk."""
    for end, rows in groupby(walk, key=lambda row: row.end):
        fault = _first_fault(end, (row.entry for row in rows if row.entry is not None))
        if fault is not None:
            yield fault


def _first_fault(end: LedgerEnd, entries: Iterable[LedgerEntry]) -> LedgerFault | None:
    chain = _Chain()
    for entry in entries:
        fault = chain.fault_of(entry)
        if fault is not None:
            return LedgerFault(ref=end.ref, entry_no=entry.entry_no, fault=fault)
    if chain.length < end.entries:
        return LedgerFault(ref=end.ref, entry_no=chain.length + 1, fault="tail_missing")
    if (chain.length, chain.head) != (end.entries, end.head):
        return LedgerFault(ref=end.ref, entry_no=chain.length, fault="head_differs")
    return None


class _Chain:
    """A member's chain as far as it was followed."""

    def __init__(self) -> None:
        self.length = 0
        self.head = b""
        self._sums: dict[AccumulatorKey, tuple[int, int, int]] = {}

    def fault_of(self, entry: LedgerEntry) -> Fault | None:
        """Follow one more entry; what is wrong with it, or None."""
        if entry.entry_no != self.length + 1:
            return "entry_missing"
        if chain_hash(self.head, entry) != entry.hash:
            return "hash_differs"
        version, used, held = self._sums.get(entry.key, (0, 0, 0))
        if entry.version != version + 1:
            return "version_gap"
        if (entry.used_after, entry.held_after) != (used + entry.used_delta, held + entry.held_delta):
            return "sum_differs"
        if _overruns(entry):
            return "over_limit"
        self.length, self.head = entry.entry_no, entry.hash
        self._sums[entry.key] = (entry.version, entry.used_after, entry.held_after)
        return None


def _overruns(entry: LedgerEntry) -> bool:
    """Whether an entry that adds units leaves more than was allowed (I3). Rolling windows are narrower."""
    adds = entry.used_delta + entry.held_delta > 0
    return (
        adds
        and entry.key.period.basis != "rolling_days"
        and entry.used_after + entry.held_after > entry.allowed
    )
