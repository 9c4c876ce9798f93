"""`needlecap ledger`: the append-only record of every unit that was ever counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from services.operator_cli.member_handles import shown
from services.operator_cli.member_pages import MemberChoice, count_members, member_pages
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.settings import Settings
from shared.accounting.verify_ledger import faults_in
from shared.domain.client import EVERY_PAYER
from shared.domain.ledger_check import FAULTS, LedgerFault
from shared.domain.records import MemberRef

#: A chunk is one transaction; nobody waits for it, and its entries are fetched a few at a time.
MEMBERS_MAX = 500
SECONDS_MAX = 300.0
FAULTS_SHOWN_MAX = 100


@click.group("ledger")
def ledger_group() -> None:
    """Look after the record of every unit that was ever counted."""


@ledger_group.command("verify")
@click.option("--payer", "payer_id", help="Verify this payer's members only.")
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_settings
def verify_command(*, settings: Settings, payer_id: str | None, show_members: bool) -> None:
    """Follow each member's chain of entries and say the first one that is wrong.

    Numbers without gaps, hashes, versions, sums, limits, the end of the chain, and the accumulators
    beside it. The exit code is 1 if anything is wrong. Changes nothing.
    """
    choice = MemberChoice(payer_id=payer_id)
    members = faulty = 0
    with open_operations(settings) as operations:
        total = count_members(operations.database, choice)
        with operations.database.transaction(EVERY_PAYER) as tx:
            entries = tx.ledger.count_entries(payer_id)
        with progress_bar("members", total) as advance:
            for page in member_pages(operations.database, choice, MEMBERS_MAX):
                for fault in _faults_of(operations, page):
                    faulty += 1
                    if faulty <= FAULTS_SHOWN_MAX:
                        click.echo(_in_words(operations, fault, show_members=show_members))
                members += len(page)
                advance(len(page))
    if faulty > FAULTS_SHOWN_MAX:
        click.echo(f"... and {faulty - FAULTS_SHOWN_MAX} more")
    click.echo(f"members: {members}, ledger entries: {entries}, members with a fault: {faulty}")
    if faulty:
        raise click.exceptions.Exit(1)


def _faults_of(operations: Operations, page: Sequence[MemberRef]) -> Iterator[LedgerFault]:
    """The first fault of each member of a page that has one."""
    with operations.database.transaction(EVERY_PAYER, seconds=SECONDS_MAX) as tx:
        found = {fault.ref: fault for fault in faults_in(tx.ledger.walk(page))}
        for mismatch in tx.ledger.mismatches(page):
            beside = LedgerFault(ref=mismatch.ref, entry_no=mismatch.entry_no, fault="accumulator_differs")
            found.setdefault(mismatch.ref, beside)
    yield from (found[ref] for ref in sorted(found))


def _in_words(operations: Operations, fault: LedgerFault, *, show_members: bool) -> str:
    member = shown(operations.hash_key, fault.ref, show_members=show_members)
    return f"payer {fault.ref.payer_id}, member {member}, entry {fault.entry_no}: {FAULTS[fault.fault]}"


COMMANDS = (ledger_group,)
