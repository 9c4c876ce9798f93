"""The first schema: clients, plans, the inbox, the ledger and what the services fold from them."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
