"""The `needlecap` command: one group, filled by the modules of `commands/`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import click

from services.operator_cli import commands
from services.operator_cli.errors import OperatorError
from shared.domain.errors import NeedlecapError


class NeedlecapGroup(click.Group):
    """Shows an error of the domain as its message, like the operator's own errors."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except NeedlecapError as error:
            raise OperatorError(str(error)) from error


def discovered_commands() -> list[click.Command]:
    """The `COMMANDS` of every module in `commands/`: a new noun is a new module there."""
    modules = [
        importlib.import_module(f"{commands.__name__}.{found.name}")
        for found in pkgutil.iter_modules(commands.__path__)
    ]
    return [command for module in modules for command in module.COMMANDS]


main: click.Command = NeedlecapGroup(
    name="needlecap",
    commands=discovered_commands(),
    help="Dry needling coverage: run Needlecap and look after it.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
main = click.version_option(package_name="needlecap")(main)

if __name__ == "__main__":
    main()
