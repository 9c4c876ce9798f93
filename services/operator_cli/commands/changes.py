"""`needlecap changes`: what something else than a visit event changed of visits and counts."""

from __future__ import annotations

import click

from services.operator_cli.errors import OperatorError
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.rule_effects import changed_effects
from services.operator_cli.settings import Settings
from shared.domain.client import EVERY_PAYER
from shared.domain.records import Cause

#: What the ledger calls the causes that are no visit event.
KINDS = (
    "enrollment",
    "override",
    "override.revoked",
    "hold",
    "hold.released",
    "hold.expired",
    "merge",
    "refold",
    "rebuild",
    "opening_balance",
    "duplicate.accepted",
    "duplicate.rejected",
)


@click.command("changes")
@click.argument("kind", type=click.Choice(KINDS), metavar="KIND")
@click.argument("cause_id", metavar="ID")
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_settings
def changes_command(*, settings: Settings, kind: str, cause_id: str, show_members: bool) -> None:
    """List the visits and counts that one cause changed, as it was recorded.

    KIND and ID are the cause as the ledger names it: `enrollment` with the request's id (the answer's
    X-Request-Id), `override` with the override's (`override.revoked` for its end), `merge` with the
    merge's, `refold` with `plan-PLAN-VERSION` or `catalog-NUMBER` (`needlecap rules changes` finds that
    one by its document), `hold` with the hold's (`hold.released`, `hold.expired` for its end),
    `opening_balance` with `SOURCE#SEQUENCE`, `duplicate.accepted` and `duplicate.rejected` with the
    decision's, `rebuild` with the rebuild's.

    An id that is nobody's ends with exit code 1. Requests about enrollments, rebuilds and refolds are on
    record by what they changed alone: where that is nothing, it is not known whether there was one.
    """
    cause = Cause(kind=kind, id=cause_id)
    with open_operations(settings) as operations:
        report = changed_effects(operations, cause)
        if not report.members:
            _say_nothing_changed(operations, cause)
        click.echo(f"changed by {kind} {cause_id}: members {report.members}")
        for line in report.lines(operations.hash_key, show_members=show_members):
            click.echo(line)


def _say_nothing_changed(operations: Operations, cause: Cause) -> None:
    """Raise OperatorError if there was no such cause: a slip must not look like an empty answer."""
    with operations.database.transaction(EVERY_PAYER) as tx:
        known = tx.rule_effects.is_on_record(cause)
    if known is False:
        raise OperatorError(f"There is nothing of the kind {cause.kind} with this id.")
    if known is None:
        click.echo("nothing is on record under this id: it changed nothing, or never was", err=True)


COMMANDS = (changes_command,)
