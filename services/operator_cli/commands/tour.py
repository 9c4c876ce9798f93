"""`needlecap tour`: the main job, played against the running service."""

from __future__ import annotations

import time

import click
from rich.console import Console
from ulid import ULID

from services.operator_cli.api_client import ApiClient
from services.operator_cli.options import with_settings
from services.operator_cli.settings import Settings
from services.operator_cli.tour.playing import Time, play
from services.operator_cli.tour.rendering import Screen
from services.operator_cli.tour.story import Story

PLAIN_WIDTH = 120


@click.command("tour")
@click.option("--full", is_flag=True, help="Show requests and answers whole.")
@with_settings
def tour_command(*, settings: Settings, full: bool) -> None:
    """Show the main job on the running service: check, visit, count, limit, new year.

    Every request and answer is shown. It works on members of its own, SAMPLE-TOUR-..., new each time,
    so it can be played again. The exit code is 1 if an answer is not what it has to be
    under the rules that come with this version.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    client = ApiClient(settings.api_url, settings.key)
    client.require_answer()
    right = play(
        Story(run_id=str(ULID())[-10:]).steps(),
        client,
        Screen(console, full=full),
        Time(monotonic=time.monotonic, pause=time.sleep),
    )
    if not right:
        raise click.exceptions.Exit(1)


COMMANDS = (tour_command,)
