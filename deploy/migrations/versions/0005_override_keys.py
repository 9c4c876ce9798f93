"""The idempotency key of an override, so that a request whose answer was lost may be sent again."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
