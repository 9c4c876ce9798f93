"""`needlecap duplicates`: visits that may repeat an earlier one, until an operator says."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.table import Table

from services.operator_cli.errors import OperatorError
from services.operator_cli.member_handles import shown
from services.operator_cli.member_pages import require_payer
from services.operator_cli.operations import Operations, current_operator, open_operations
from services.operator_cli.options import with_list_limit, with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.settings import Settings
from services.operator_cli.tables import print_table
from shared.accounting.drain import DRAIN_SECONDS
from shared.accounting.duplicates import NotPossibleDuplicate, VisitNotFound, decide_duplicate
from shared.accounting.retrying import retrying
from shared.domain.client import EVERY_PAYER
from shared.domain.operator_records import NewDecision, PossibleDuplicate
from shared.domain.visit import DuplicateDecision, VisitKey


@click.group("duplicates")
def duplicates_group() -> None:
    """Decide on visits that may repeat an earlier one; they are not counted until then."""


@duplicates_group.command("list")
@click.option("--payer", "payer_id", help="List this payer's only.")
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_list_limit
@with_settings
def list_command(*, settings: Settings, payer_id: str | None, show_members: bool, limit: int) -> None:
    """Show possible duplicates by their numbers, with the earlier visits that they may repeat."""
    with open_operations(settings) as operations:
        with operations.database.transaction(EVERY_PAYER) as tx:
            require_payer(tx, payer_id)
            total = tx.duplicates.count(payer_id)
            visits = tx.duplicates.after(payer_id, 0, limit)
        if visits:
            print_table(_table(operations, visits, show_members=show_members))
    click.echo(f"possible duplicates: {total}, shown: {len(visits)}")


@duplicates_group.command("accept")
@click.argument("numbers", nargs=-1, required=True, type=click.IntRange(min=1))
@click.option("--reason", default="", help="Why, as it is recorded.")
@click.option("--by", default=current_operator, show_default="you", help="Who decided it.")
@with_settings
def accept_command(*, settings: Settings, numbers: tuple[int, ...], reason: str, by: str) -> None:
    """Count these visits: each is one of its own. NUMBERS are those that `list` shows."""
    _decide(settings, numbers, "accepted", reason, by)


@duplicates_group.command("reject")
@click.argument("numbers", nargs=-1, required=True, type=click.IntRange(min=1))
@click.option("--reason", default="", help="Why, as it is recorded.")
@click.option("--by", default=current_operator, show_default="you", help="Who decided it.")
@with_settings
def reject_command(*, settings: Settings, numbers: tuple[int, ...], reason: str, by: str) -> None:
    """Never count these visits: each repeats an earlier one. NUMBERS are those that `list` shows."""
    _decide(settings, numbers, "rejected", reason, by)


def _decide(
    settings: Settings, numbers: Sequence[int], decision: DuplicateDecision, reason: str, by: str
) -> None:
    """Decide on each visit in a transaction of its own; go on past those that cannot be decided on."""
    decided = unchanged = 0
    refused: list[str] = []
    with open_operations(settings) as operations:
        with operations.database.transaction(EVERY_PAYER) as tx:
            names = tx.duplicates.named(numbers)
        with progress_bar("visits", len(numbers)) as advance:
            for number in dict.fromkeys(numbers):
                try:
                    changed = _decide_one(operations, names.get(number), decision, reason, by)
                except (VisitNotFound, NotPossibleDuplicate) as error:
                    refused.append(f"visit {number}: {error}")
                else:
                    decided += changed
                    unchanged += not changed
                advance(1)
    for line in refused:
        click.echo(line, err=True)
    click.echo(f"{decision}: {decided}, {decision} before: {unchanged}")
    if refused:
        raise OperatorError("Nothing was decided on some of these visits.")


def _decide_one(
    operations: Operations,
    name: tuple[str, VisitKey] | None,
    decision: DuplicateDecision,
    reason: str,
    by: str,
) -> bool:
    if name is None:
        raise VisitNotFound
    new = NewDecision(
        decision_id=operations.new_id("dup"),
        payer_id=name[0],
        visit=name[1],
        decision=decision,
        decided_by=by,
        reason=reason,
    )

    def work() -> bool:
        with operations.database.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
            images = decide_duplicate(tx, operations.rules, operations.clock(), new)
            if images is None:
                return False
            tx.commit()
        operations.show(images)
        return True

    return retrying(work)


def _table(operations: Operations, visits: Sequence[PossibleDuplicate], *, show_members: bool) -> Table:
    table = Table("number", "payer", "member", "client", "visit", "may repeat")
    for visit in visits:
        table.add_row(
            str(visit.arrival),
            visit.ref.payer_id,
            shown(operations.hash_key, visit.ref, show_members=show_members),
            visit.client_name,
            visit.visit.visit_id,
            ", ".join(visit.repeats),
        )
    return table


COMMANDS = (duplicates_group,)
