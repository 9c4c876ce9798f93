"""The `needlecap` command as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from services.operator_cli.main import discovered_commands, main
from services.operator_cli.runner.ports import LOOPBACK, choose


def _leaves(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [leaf for name, sub in command.commands.items() for leaf in _leaves(sub, f"{path} {name}")]


def test_command_names_are_unique() -> None:
    """No module hides another's command."""
    names = [command.name for command in discovered_commands()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("path", "command"), _leaves(main, "needlecap"), ids=str)
def test_every_command_says_what_it_does(path: str, command: click.Command) -> None:
    """Help is there for each command and for each of its options."""
    assert command.help, path
    undocumented = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert undocumented == [], path


@pytest.mark.parametrize(("path", "command"), _leaves(main, "needlecap"), ids=str)
def test_every_command_takes_the_data_directory(path: str, command: click.Command) -> None:
    """Whatever is done to an installation, the installation is named in the same way."""
    options = [option for parameter in command.params for option in parameter.opts]
    assert "--data-dir" in options, path


@pytest.mark.parametrize("arguments", [("clients", "list"), ("reconcile",)], ids=" ".join)
def test_database_that_is_away_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A command without its database says so once, in our words, without the driver's."""
    away = f"{LOOPBACK}:{choose(None)}"
    refused = subprocess.run(
        [sys.executable, "-m", "services.operator_cli.main", *arguments, "--data-dir", tmp_path],
        env={
            **os.environ,
            "DATABASE_URL": f"postgresql://nobody:secret@{away}/none",
            "REDIS_URL": f"redis://{away}/0",
            "NEEDLECAP_HASH_KEY": "ab" * 32,
        },
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: The database ")
    assert refused.stderr.count("\n") == 1
    assert "needlecap run" in refused.stderr
    assert "secret" not in refused.stderr


def test_help_names_the_commands() -> None:
    """The command without arguments is a list of what it can do."""
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert {"run", "clients", "migrate", "rules"} <= set(result.output.split())
