"""Opening balances: what members had used elsewhere, as their sources state it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from shared.adapters.postgres.grant_rows import OPENING_BALANCE_COLUMNS, opening_balance_from
from shared.domain.hold import OpeningBalance
from shared.domain.operator_records import OpeningStatement, StatementEffect
from shared.domain.records import MemberRef


class PostgresOpeningBalances:
    """Opening balances in one transaction. Whoever changes a member's has opened the member's book."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def of(self, ref: MemberRef) -> list[OpeningBalance]:
        """What was stated of this very member, not of those merged into it."""
        rows = self._connection.execute(
            f"""select {OPENING_BALANCE_COLUMNS} from opening_balance b
                 where b.payer_id = %s and b.member_id = %s""",
            [ref.payer_id, ref.member_id],
        )
        return [opening_balance_from(row) for row in rows]

    def put(self, ref: MemberRef, balance: OpeningBalance, now: datetime) -> None:
        """Store a balance in the place of what its source stated before for the same date."""
        self._connection.execute(
            """
            insert into opening_balance (payer_id, member_id, plan_id, limit_id, service_date, quantity,
                                         source, sequence, recorded_at)
            values (%(payer)s, %(member)s, %(plan)s, %(limit)s, %(on)s, %(quantity)s,
                    %(source)s, %(sequence)s, %(now)s)
            on conflict (payer_id, member_id, plan_id, limit_id, service_date, source) do update
               set quantity = excluded.quantity, sequence = excluded.sequence,
                   recorded_at = excluded.recorded_at
            """,
            {**_values(ref, balance), "now": now},
        )

    def keep(self, statements: Sequence[tuple[OpeningStatement, StatementEffect]], now: datetime) -> None:
        """Keep statements as they came, with what they did."""
        for statement, effect in statements:
            self._connection.execute(
                """
                insert into opening_statement (statement_id, payer_id, member_id, plan_id, limit_id,
                                               service_date, quantity, source, sequence, effect, stated_at)
                values (%(id)s, %(payer)s, %(member)s, %(plan)s, %(limit)s,
                        %(on)s, %(quantity)s, %(source)s, %(sequence)s, %(effect)s, %(now)s)
                """,
                {
                    **_values(statement.ref, statement.balance),
                    "id": statement.statement_id,
                    "effect": effect,
                    "now": now,
                },
            )


def _values(ref: MemberRef, balance: OpeningBalance) -> dict[str, Any]:
    return {
        "payer": ref.payer_id,
        "member": ref.member_id,
        "plan": balance.plan_id,
        "limit": balance.limit_id,
        "on": balance.service_date,
        "quantity": balance.quantity,
        "source": balance.source,
        "sequence": balance.sequence,
    }
