"""Checking a ledger entry by entry: what was changed is found, and what is whole is let pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.accounting.book import chain_hash
from shared.accounting.verify_ledger import faults_in
from shared.domain.ledger_check import LedgerEnd, LedgerFault, LedgerRow
from shared.domain.records import LedgerEntry, MemberRef
from tests.builders import NOW, PAYER

ANN = MemberRef(payer_id=PAYER, member_id="SAMPLE-ANN")
BEN = MemberRef(payer_id=PAYER, member_id="SAMPLE-BEN")
DAY = date(2026, 3, 4)


def _in(year: int, basis: Any = "plan_year") -> dict[str, Any]:
    """The fields that name the accumulator of a year."""
    return {"basis": basis, "period_start": date(year, 1, 1), "period_end": date(year + 1, 1, 1)}


def _entry(number: int, **changes: Any) -> LedgerEntry:
    """The entry that counts visit `number` of 2026, one unit each."""
    fields: dict[str, Any] = {
        "entry_no": number,
        "plan_id": "employer",
        "limit_id": "dry-needling",
        **_in(2026),
        "subject": "",
        "version": number,
        "client_id": "c",
        "visit_id": f"v{number}",
        "hold_id": None,
        "service_date": DAY,
        "used_delta": 1,
        "held_delta": 0,
        "used_after": number,
        "held_after": 0,
        "allowed": 20,
        "cause_kind": "visit.recorded",
        "cause_id": f"e{number}",
        "recorded_at": NOW,
        "hash": b"",
    }
    return LedgerEntry(**{**fields, **changes})


def _chained(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    head, chained = b"", []
    for entry in entries:
        head = chain_hash(head, entry)
        chained.append(entry._replace(hash=head))
    return chained


def _walk(ref: MemberRef, entries: list[LedgerEntry], end: LedgerEnd | None = None) -> list[LedgerRow]:
    """The rows of a member whose row agrees with the entries, unless an end is given."""
    last = entries[-1] if entries else None
    end = end or LedgerEnd(ref=ref, entries=last.entry_no if last else 0, head=last.hash if last else b"")
    return [LedgerRow(end=end, entry=entry) for entry in entries] or [LedgerRow(end=end, entry=None)]


def _faults(rows: list[LedgerRow]) -> list[LedgerFault]:
    return list(faults_in(rows))


def test_whole_chains_have_no_fault() -> None:
    """Several members, one without entries, two accumulators mixed: nothing to say."""
    mixed = [
        _entry(1),
        _entry(2, **_in(2025), version=1, used_after=1),
        _entry(3, version=2, used_after=2),
        _entry(4, version=3, used_delta=-1, used_after=1),
    ]
    rows = _walk(ANN, _chained(mixed)) + _walk(BEN, []) + _walk(BEN, _chained([_entry(1)]))
    assert _faults(rows) == []


@given(at=st.integers(min_value=1, max_value=6), data=st.data())
def test_any_changed_field_breaks_the_chain(at: int, data: st.DataObject) -> None:
    """Whatever is changed in whichever entry, that entry is named."""
    entries = _chained(_entry(number) for number in range(1, 7))
    changes: list[Callable[[LedgerEntry], LedgerEntry]] = [
        lambda entry: entry._replace(used_delta=entry.used_delta + 1),
        lambda entry: entry._replace(allowed=entry.allowed + 1),
        lambda entry: entry._replace(service_date=entry.service_date + timedelta(days=1)),
        lambda entry: entry._replace(visit_id=None),
        lambda entry: entry._replace(hold_id="hld_1"),
        lambda entry: entry._replace(cause_id="another"),
        lambda entry: entry._replace(recorded_at=entry.recorded_at + timedelta(microseconds=1)),
        lambda entry: entry._replace(**_in(2025)),
        lambda entry: entry._replace(hash=bytes(32)),
    ]
    changed = data.draw(st.sampled_from(changes))(entries[at - 1])
    rows = _walk(ANN, [*entries[: at - 1], changed, *entries[at:]])
    assert _faults(rows) == [LedgerFault(ref=ANN, entry_no=at, fault="hash_differs")]


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([_entry(2)], "entry_missing"),
        ([_entry(1, version=2)], "version_gap"),
        ([_entry(1, used_after=2)], "sum_differs"),
        ([_entry(1, held_after=1)], "sum_differs"),
        ([_entry(1, allowed=0)], "over_limit"),
        ([_entry(1, used_delta=0, held_delta=1, used_after=0, held_after=1, allowed=0)], "over_limit"),
    ],
)
def test_what_a_forger_with_the_hash_cannot_hide(entries: list[LedgerEntry], fault: str) -> None:
    """Entries chained anew still have to follow, to add up and to stay within what was allowed (I3)."""
    (found,) = _faults(_walk(ANN, _chained(entries)))
    assert (found.entry_no, found.fault) == (entries[0].entry_no, fault)


def test_units_taken_back_may_leave_more_than_is_allowed() -> None:
    """After a limit was lowered a decrease still leaves more than it allows, and that is right."""
    entries = [_entry(1), _entry(2), _entry(3, used_delta=-1, used_after=1, allowed=0)]
    assert _faults(_walk(ANN, _chained(entries))) == []


def test_rolling_windows_are_not_measured_by_their_sum() -> None:
    """A rolling limit's accumulator holds many windows, so its sum may be more than one allows."""
    entries = [_entry(n, **_in(2026, "rolling_days"), allowed=1) for n in (1, 2)]
    assert _faults(_walk(ANN, _chained(entries))) == []


@pytest.mark.parametrize(
    ("entries", "head", "expected"),
    [
        (5, None, (4, "tail_missing")),
        (4, b"other", (4, "tail_missing")),
        (3, b"other", (3, "head_differs")),
        (2, None, (3, "head_differs")),
    ],
)
def test_end_of_the_chain_has_to_be_the_members(
    entries: int, head: bytes | None, expected: tuple[int, str]
) -> None:
    """A tail cut off, or entries that the member's row does not know of, are found."""
    chained = _chained(_entry(number) for number in (1, 2, 3))
    end = LedgerEnd(ref=ANN, entries=entries, head=chained[-1].hash if head is None else head)
    (found,) = _faults(_walk(ANN, chained, end) + _walk(BEN, _chained([_entry(1)])))
    assert (found.ref, found.entry_no, found.fault) == (ANN, *expected)
