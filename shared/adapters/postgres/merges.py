"""Merges of members."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from shared.domain.operator_records import NewMerge


class PostgresMerges:
    """Merges in one transaction. Whoever makes one has locked both members."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def record(self, merge: NewMerge, now: datetime) -> None:
        """Make `source`, and everyone merged into it before, lead to `into`, and keep the merge."""
        self._connection.execute(
            """
            update member set merged_into = %(into)s
             where payer_id = %(payer)s and (member_id = %(source)s or merged_into = %(source)s)
            """,
            _values(merge),
        )
        self._connection.execute(
            """
            insert into member_merge (merge_id, payer_id, member_id, into_member_id, merged_at, merged_by,
                                      reason)
            values (%(id)s, %(payer)s, %(source)s, %(into)s, %(now)s, %(by)s, %(reason)s)
            """,
            {**_values(merge), "now": now},
        )


def _values(merge: NewMerge) -> dict[str, Any]:
    return {
        "id": merge.merge_id,
        "payer": merge.source.payer_id,
        "source": merge.source.member_id,
        "into": merge.into.member_id,
        "by": merge.merged_by,
        "reason": merge.reason,
    }
