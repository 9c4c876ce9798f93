"""`needlecap rebuild`: make every state what its events, holds and rules add up to."""

from __future__ import annotations

from pathlib import Path

import click

from services.operator_cli import restoring
from services.operator_cli.member_pages import MemberChoice, count_members, member_pages
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.rebuilding import MEMBERS_MAX, Rebuilder
from services.operator_cli.settings import Settings
from shared.adapters.collecting import collect_rarely
from shared.domain.client import EVERY_PAYER
from shared.domain.records import Cause


@click.command("rebuild")
@click.option("--payer", "payer_id", help="Rebuild this payer's members only.")
@click.option(
    "--member-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rebuild the members of this file only, an id a line; needs --payer.",
)
@click.option("--check", is_flag=True, help="Change nothing; the exit code is 1 if anything differs.")
@click.option(
    "--from-ledger",
    is_flag=True,
    help="Fold nothing: only set counts, versions and Redis counters to what the ledger adds up to.",
)
@with_settings
def rebuild_command(
    *, settings: Settings, payer_id: str | None, member_file: Path | None, check: bool, from_ledger: bool
) -> None:
    """Fold every member from nothing and put right what differs from that.

    From events, holds, overrides, enrollments and rules to accumulators, visits, ledger and counters.
    A member that is as it should be is left alone. Differences are posted to the ledger with cause
    `rebuild`. Safe to run twice and while traffic runs.

    With --from-ledger the ledger is believed, which is many times quicker; a member of whom something
    was set is folded again by the worker.
    """
    if member_file is not None and payer_id is None:
        raise click.UsageError("--member-file needs --payer")
    if check and from_ledger:
        raise click.UsageError("--check goes without --from-ledger: `needlecap reconcile` compares these")
    choice = MemberChoice(payer_id=payer_id, file=member_file)
    collect_rarely()
    if from_ledger:
        _restore(settings, choice)
    else:
        _rebuild(settings, choice, check=check)


def _restore(settings: Settings, choice: MemberChoice) -> None:
    with open_operations(settings) as operations:
        total = count_members(operations.database, choice)
        with progress_bar("members", total) as advance:
            pages = member_pages(operations.database, choice, restoring.MEMBERS_MAX)
            report = restoring.restore(operations, pages, advance)
    click.echo(f"members: {report.members}, set to what the ledger says: {report.changed}")
    _say_unshown(report.unshown)


def _rebuild(settings: Settings, choice: MemberChoice, *, check: bool) -> None:
    with open_operations(settings) as operations:
        cause = Cause(kind="rebuild", id=operations.new_id("rbd"))
        rebuilder = Rebuilder(operations=operations, cause=cause, keep=not check)
        _rebuild_all(operations, rebuilder, choice)
    report = rebuilder.report
    click.echo(
        f"members: {report.members}, visits: {report.visits}, differing members: {report.differing}, "
        f"visits not as their events say: {report.visits_differing}, "
        f"ledger entries {'missing' if check else 'posted'}: {report.entries}"
    )
    _say_unshown(report.unshown)
    if report.failed:
        kinds = ", ".join(sorted(set(report.failed)))
        click.echo(f"not rebuilt: {len(report.failed)} ({kinds})", err=True)
    if report.failed or (check and (report.differing or report.visits_differing)):
        raise click.exceptions.Exit(1)


def _say_unshown(counters: int) -> None:
    if counters:
        click.echo(f"Redis is away: {counters} counters are left to the worker's sweep", err=True)


def _rebuild_all(operations: Operations, rebuilder: Rebuilder, choice: MemberChoice) -> None:
    total = count_members(operations.database, choice)
    if choice.file is None:
        # First, so that no member is taken for complete while a visit of theirs is not found with them.
        with operations.database.transaction(EVERY_PAYER) as tx:
            last = tx.rebuilding.last_arrival()
        with progress_bar("events", last) as advance:
            rebuilder.visits_adrift(choice.payer_id, advance)
        # They come again with all the others.
        rebuilder.report.members = rebuilder.report.visits = 0
    with progress_bar("members", total) as advance:
        rebuilder.members(member_pages(operations.database, choice, MEMBERS_MAX), advance)


COMMANDS = (rebuild_command,)
