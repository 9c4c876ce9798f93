"""Options that every command shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from services.operator_cli.settings import DEFAULT_DATA_DIR, Settings, load_settings


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--data-dir` (or NEEDLECAP_DATA_DIR) and hand it the Settings found there."""
    return click.option(
        "--data-dir",
        "settings",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="NEEDLECAP_DATA_DIR",
        default=DEFAULT_DATA_DIR,
        show_default=True,
        show_envvar=True,
        callback=_to_settings,
        help="Where the installation keeps its data and secrets.",
    )(command)


def with_list_limit(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that lists things `--limit`: how many at most, the oldest first."""
    return click.option(
        "--limit",
        type=click.IntRange(1, 10_000),
        default=100,
        show_default=True,
        help="List so many at most, the oldest first.",
    )(command)


def _to_settings(_context: click.Context, _parameter: click.Parameter, value: Path) -> Settings:
    return load_settings(value)
