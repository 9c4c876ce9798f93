"""`needlecap reconcile`: accumulators beside the ledger, counters beside accumulators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from services.operator_cli.errors import ServerError
from services.operator_cli.member_handles import shown
from services.operator_cli.member_pages import MemberChoice, count_members, member_pages
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.settings import Settings
from shared.accounting.reconcile_counters import reconcile_counters
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import CountersUnavailable
from shared.domain.ledger_check import LedgerMismatch
from shared.domain.records import MemberRef

MEMBERS_MAX = 500
SECONDS_MAX = 30.0
MISMATCHES_SHOWN_MAX = 100


@dataclass(slots=True, kw_only=True)
class ReconcileReport:
    """What was found so far; counters are numbers of members."""

    members: int = 0
    mismatches: int = 0
    compared: int = 0
    missing: int = 0
    wrong: int = 0


@click.command("reconcile")
@click.option("--payer", "payer_id", help="Reconcile this payer's members only.")
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_settings
def reconcile_command(*, settings: Settings, payer_id: str | None, show_members: bool) -> None:
    """Compare accumulators with the ledger, and Redis counters with the accumulators.

    Counters that are wrong or not there are written anew. A difference to the ledger is only said, and
    the exit code is then 1: `needlecap ledger verify` tells more, `needlecap rebuild` puts it right.
    Safe to run twice and while traffic runs.
    """
    choice = MemberChoice(payer_id=payer_id)
    report = ReconcileReport()
    with open_operations(settings) as operations:
        total = count_members(operations.database, choice)
        with progress_bar("members", total) as advance:
            for page in member_pages(operations.database, choice, MEMBERS_MAX):
                for mismatch in _reconcile_page(operations, page, report):
                    report.mismatches += 1
                    if report.mismatches <= MISMATCHES_SHOWN_MAX:
                        click.echo(_in_words(operations, mismatch, show_members=show_members))
                advance(len(page))
    if report.mismatches > MISMATCHES_SHOWN_MAX:
        click.echo(f"... and {report.mismatches - MISMATCHES_SHOWN_MAX} more")
    click.echo(
        f"members: {report.members}, accumulators not as the ledger says: {report.mismatches}, "
        f"counters compared: {report.compared}, wrong and written anew: {report.wrong}, "
        f"not there and written: {report.missing}"
    )
    if report.mismatches:
        raise click.exceptions.Exit(1)


def _reconcile_page(
    operations: Operations, page: Sequence[MemberRef], report: ReconcileReport
) -> list[LedgerMismatch]:
    with operations.database.transaction(EVERY_PAYER, seconds=SECONDS_MAX) as tx:
        mismatches = tx.ledger.mismatches(page)
    try:
        counters = reconcile_counters(operations.database, operations.counters, page)
    except CountersUnavailable as error:
        raise ServerError("Redis cannot answer at the moment; run the command again.") from error
    report.members += len(page)
    report.compared += counters.compared
    report.missing += len(counters.missing)
    report.wrong += len(counters.wrong)
    return mismatches


def _in_words(operations: Operations, found: LedgerMismatch, *, show_members: bool) -> str:
    member = shown(operations.hash_key, found.ref, show_members=show_members)
    return (
        f"payer {found.ref.payer_id}, member {member}, limit {found.limit_id}: "
        f"used {found.used}, held {found.held}, version {found.version}; the ledger says "
        f"used {found.posted_used}, held {found.posted_held}, version {found.posted_version}"
    )


COMMANDS = (reconcile_command,)
