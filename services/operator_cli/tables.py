"""Tables on standard output: fitted to a terminal, never cut where a script reads them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_WIDTH_OF_PIPES = 250


def print_table(table: Table) -> None:
    """Print a table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_PIPES
    console.print(table)
