"""Alembic's entry: runs the versions on the connection it was handed (services/operator_cli/migrations.py).

There is no offline mode and no model to compare with: every version is plain SQL.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
