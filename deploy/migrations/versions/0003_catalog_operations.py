"""What a change of rules did to visits, kept to be listed; what a determination was decided from."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
