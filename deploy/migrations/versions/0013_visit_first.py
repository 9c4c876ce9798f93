"""A key of visits that begins with what differs."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
