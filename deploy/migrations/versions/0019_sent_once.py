"""What was sent is written once; what waits, and what became of it, are tables of their own."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
