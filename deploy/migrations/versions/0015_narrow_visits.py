"""Visits name the event whose content they have, and what became of them."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
