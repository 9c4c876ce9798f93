"""What operators do: merges, decisions on duplicates, discarded events, statements of opening balances."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
