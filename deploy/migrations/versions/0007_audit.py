"""The audit trail: who called for what, for which purpose, and what came of it."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
