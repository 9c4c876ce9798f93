"""Room in the indexes of events for what is written when they are applied."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
