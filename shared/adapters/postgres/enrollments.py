"""Members' enrollments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from shared.domain.enrollment import EnrollmentSpan


class PostgresEnrollments:
    """Spans of members in one transaction. Whoever changes them has opened the member's book."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def replace(self, payer_id: str, member_id: str, spans: Sequence[EnrollmentSpan]) -> None:
        """Put these spans, which do not overlap, in the place of all the member's others."""
        given = {"payer_id": payer_id, "member_id": member_id}
        self._connection.execute(
            "delete from enrollment where payer_id = %(payer_id)s and member_id = %(member_id)s", given
        )
        for span in spans:
            self._connection.execute(
                """
                insert into enrollment (payer_id, member_id, plan_id, starts_on, ends_on, attributes)
                values (%(payer_id)s, %(member_id)s, %(plan_id)s, %(start)s, %(end)s, %(attributes)s)
                """,
                {
                    **given,
                    "plan_id": span.plan_id,
                    "start": span.start,
                    "end": span.end,
                    "attributes": list(span.attributes),
                },
            )
