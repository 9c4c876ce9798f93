"""Overrides and opening balances as rows: columns, and what they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.domain.hold import OpeningBalance, Override

OVERRIDE_COLUMNS = "o.override_id, o.limit_id, o.service_date, o.quantity, o.expires_on, o.visit_id"

OPENING_BALANCE_COLUMNS = "b.plan_id, b.limit_id, b.service_date, b.quantity, b.source, b.sequence"

#: The order in which a history states its opening balances, whoever of a family they were stated of.
OPENING_BALANCE_ORDER = "b.source, b.service_date, b.plan_id, b.limit_id, b.member_id"


def override_from(row: Sequence[Any]) -> Override:
    """The override of a row with `OVERRIDE_COLUMNS`."""
    override_id, limit_id, on, quantity, expires_on, visit_id = row
    return Override(
        override_id=override_id,
        limit_id=limit_id,
        service_date=on,
        quantity=quantity,
        expires_on=expires_on,
        visit_id=visit_id,
    )


def opening_balance_from(row: Sequence[Any]) -> OpeningBalance:
    """The opening balance of a row with `OPENING_BALANCE_COLUMNS`."""
    plan_id, limit_id, on, quantity, source, sequence = row
    return OpeningBalance(
        plan_id=plan_id,
        limit_id=limit_id,
        service_date=on,
        quantity=quantity,
        source=source,
        sequence=sequence,
    )
