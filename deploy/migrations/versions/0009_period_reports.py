"""Reports of benefit periods that are over."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
