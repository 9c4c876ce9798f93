"""Statements that are prepared once for a connection are told apart by their names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

from shared.adapters import postgres
from shared.adapters.postgres.ledger_rows import RowSet
from shared.adapters.postgres.trips import Errand, Statement


def statements(values: Iterator[Any]) -> Iterator[Statement]:
    """Those among the values of modules."""
    for value in values:
        if isinstance(value, Statement):
            yield value
        elif isinstance(value, Errand):
            yield value.statement
        elif isinstance(value, RowSet):
            yield from statements(iter(vars(value).values()))


MODULES = [
    importlib.import_module(f"{postgres.__name__}.{found.name}")
    for found in pkgutil.iter_modules(postgres.__path__)
]
STATEMENTS = {
    id(statement): statement for module in MODULES for statement in statements(iter(vars(module).values()))
}


def test_no_two_statements_share_a_name() -> None:
    """A connection would run the one that it prepared first in the other's place."""
    names = sorted(statement.name for statement in STATEMENTS.values())
    assert len(names) > 10
    assert names == sorted(set(names))


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=lambda statement: statement.name.decode())
def test_statement_has_all_its_parameters_in_binary(statement: Statement) -> None:
    """A parameter written in another of the driver's ways would be sent as it stands."""
    assert b"%" not in statement.text
