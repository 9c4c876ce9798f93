"""Overrides: units granted on top of a limit, and taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from shared.accounting.posting import Posting
from shared.accounting.settling import open_settled
from shared.domain.hold import Override
from shared.domain.hold_records import NewOverride, OverrideRow
from shared.domain.records import Cause, CounterImage, MemberRef
from shared.ports import RulesSource, Transaction


def grant_override(
    tx: Transaction, rules: RulesSource, now: datetime, grant: NewOverride
) -> list[CounterImage]:
    """Store an override and give its units to the visits that are next in order.

    Returns the counters to show after the commit, which is the caller's.
    """
    posting = open_settled(tx, rules, now, [grant.ref])
    tx.overrides.insert(grant)
    history = posting.book(grant.ref).history
    overrides = (*history.overrides, grant.override)
    return _refold(posting, grant.ref, overrides, Cause(kind="override", id=grant.override.override_id))


def revoke_override(
    tx: Transaction, rules: RulesSource, now: datetime, row: OverrideRow
) -> list[CounterImage]:
    """Take an override's units back; one revoked before stays as it is. Safe to run twice."""
    if row.revoked_at is not None:
        return []
    posting = open_settled(tx, rules, now, [row.ref])
    tx.overrides.revoke(row.override.override_id, now)
    history = posting.book(row.ref).history
    left = tuple(held for held in history.overrides if held.override_id != row.override.override_id)
    return _refold(posting, row.ref, left, Cause(kind="override.revoked", id=row.override.override_id))


def _refold(
    posting: Posting, ref: MemberRef, overrides: tuple[Override, ...], cause: Cause
) -> list[CounterImage]:
    book = posting.book(ref)
    book.refold(replace(book.history, overrides=overrides), cause)
    return posting.save()
