"""`needlecap determinations`: the recorded answers to eligibility checks."""

from __future__ import annotations

import click

from services.operator_cli.errors import OperatorError
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.settings import Settings
from shared.accounting.replay import Replay, replay
from shared.accounting.rules import CatalogRules
from shared.domain.client import EVERY_PAYER


@click.group("determinations")
def determinations_group() -> None:
    """Look after the recorded answers to eligibility checks."""


@determinations_group.command("replay")
@click.argument("check_ids", nargs=-1, required=True, metavar="CHECK_ID...")
@with_settings
def replay_command(*, settings: Settings, check_ids: tuple[str, ...]) -> None:
    """Decide recorded checks again, by the rules and counts of their time, and compare.

    The same inputs, rules and counts give the same answer, whatever happened since. Differences are
    said one a line, and the exit code is then 1. Changes nothing.
    """
    differing = 0
    with open_operations(settings) as operations:
        for check_id in check_ids:
            replayed = _replay(operations, check_id)
            differing += not replayed.is_same
            for line in _in_words(replayed):
                click.echo(line)
    if differing:
        raise click.exceptions.Exit(1)


def _replay(operations: Operations, check_id: str) -> Replay:
    with operations.database.transaction(EVERY_PAYER) as tx:
        check = tx.determinations.find(check_id)
        if check is None:
            raise OperatorError(f"There is no check {check_id}.")
        rules = CatalogRules(operations.rules.read(check.record.catalog_version))
        return replay(tx.ledger, rules, check)


def _in_words(replayed: Replay) -> list[str]:
    name = f"{replayed.check_id}, by catalog {replayed.catalog_version}"
    if replayed.is_same:
        aside = "" if replayed.ledger is not None else " (its counts were ahead of the ledger)"
        return [f"{name}: the same answer{aside}"]
    lines = [f"{name}: not the same"]
    lines += [f"  {difference}" for difference in replayed.differences]
    lines += [f"  in the ledger: {difference}" for difference in replayed.ledger or ()]
    return lines


COMMANDS = (determinations_group,)
