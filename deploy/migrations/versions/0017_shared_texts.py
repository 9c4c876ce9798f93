"""Texts that many determinations say word for word, stored once."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
