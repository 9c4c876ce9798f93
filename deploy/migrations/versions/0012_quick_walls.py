"""Walls that are asked about once a statement."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
