"""Several keys for a client, access tokens, registered public keys, and how often a client may call."""

from __future__ import annotations

from services.operator_cli.migrations import apply_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL beside this file."""
    apply_sql_beside(__file__)
