"""`needlecap run`: serve everything on this machine."""

from __future__ import annotations

import click

from services.operator_cli.options import with_settings
from services.operator_cli.settings import Settings

PORT_DEFAULT = 8080


@click.command("run")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT_DEFAULT,
    show_default=True,
    help="The loopback port of the API; 0 takes any free one.",
)
@click.option("--empty", is_flag=True, help="Load no sample members and play no tour on the first start.")
@with_settings
def run_command(*, settings: Settings, port: int, empty: bool) -> None:
    """Serve everything on this machine until Ctrl-C: database, Valkey, API, worker and schedule.

    DATABASE_URL and REDIS_URL, if set, replace the embedded servers.
    """
    # The embedded servers are installed only where this command is used.
    from services.operator_cli.runner.local import Console, run_local, stderr_say  # noqa: PLC0415

    run_local(settings, port, Console(announce=click.echo, say=stderr_say), empty=empty)


COMMANDS = (run_command,)
