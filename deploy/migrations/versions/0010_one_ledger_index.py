"""One index of the ledger is enough."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
