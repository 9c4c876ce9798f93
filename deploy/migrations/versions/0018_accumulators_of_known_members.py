"""Accumulators are of members that are there."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
