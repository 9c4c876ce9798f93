"""Counts of visit events that are kept as they happen, so that status and metrics need not count them."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
