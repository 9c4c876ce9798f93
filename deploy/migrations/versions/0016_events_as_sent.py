"""What an event says is kept as the text that came in."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
