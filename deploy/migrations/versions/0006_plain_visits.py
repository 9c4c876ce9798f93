"""What lets plain new visits be counted without a look at the member's history."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
