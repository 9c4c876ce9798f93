"""`needlecap rules`: the catalog of rule documents."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from services.operator_cli.catalog_loading import load
from services.operator_cli.options import with_settings
from services.operator_cli.settings import Settings


@click.group("rules")
def rules_group() -> None:
    """Look after the catalog of rule documents."""


@rules_group.command("load")
@with_settings
def load_command(*, settings: Settings) -> None:
    """Bring the catalog that comes with this version into the database; `needlecap run` does so too.

    Members whose counts it changes are folded again by the worker.
    """
    change = load(settings.database_url, datetime.now(UTC))
    if change.created:
        click.echo(f"catalog {change.catalog_version}, {change.members} members to fold again")
    else:
        click.echo(f"catalog {change.catalog_version} is loaded already")


COMMANDS = (rules_group,)
