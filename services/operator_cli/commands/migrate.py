"""`needlecap migrate`: bring the database to the newest schema."""

from __future__ import annotations

import click

from services.operator_cli.options import with_settings
from services.operator_cli.settings import Settings


@click.command("migrate")
@with_settings
def migrate_command(*, settings: Settings) -> None:
    """Bring the database to the newest schema; says which versions that took."""
    # Alembic is only in the images that migrate, and takes time to load.
    from services.operator_cli.migrations import migrate  # noqa: PLC0415

    applied = migrate(settings.database_url, audit_days=settings.environment.audit_days)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to do")


COMMANDS = (migrate_command,)
