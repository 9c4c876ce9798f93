"""`needlecap members`: persons whom a payer knows under several ids."""

from __future__ import annotations

from typing import TextIO

import click

from services.operator_cli.member_ids import MEMBER_IDS_FILE, read_member_ids
from services.operator_cli.member_pages import require_payer
from services.operator_cli.operations import current_operator, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.rule_effects import changed_effects
from services.operator_cli.settings import Settings
from shared.accounting.drain import DRAIN_SECONDS
from shared.accounting.merge import Merged, merge_members
from shared.accounting.retrying import retrying
from shared.domain.client import EVERY_PAYER
from shared.domain.operator_records import NewMerge
from shared.domain.records import Cause, MemberRef
from shared.failpoints import Step, around


@click.group("members")
def members_group() -> None:
    """Look after members."""


@members_group.command("merge")
@click.option("--payer", "payer_id", required=True, help="The payer of both.")
@click.option(
    "--member-ids-file",
    type=MEMBER_IDS_FILE,
    default="-",
    help=(
        "A file of two lines: the member id that is given up, and the one that stays. Without one, they are"
        " read from standard input."
    ),
)
@click.option(
    "--bring-enrollment/--leave-enrollment",
    default=True,
    show_default=True,
    help="Whether dates on which only the first was enrolled become the second's.",
)
@click.option("--reason", default="", help="Why, as it is recorded.")
@click.option("--by", default=current_operator, show_default="you", help="Who decided it.")
@with_settings
def merge_command(
    *,
    settings: Settings,
    payer_id: str,
    member_ids_file: TextIO,
    bring_enrollment: bool,
    reason: str,
    by: str,
) -> None:
    """Make two members one: they are the same person.

    Visits, holds, overrides and opening balances of the first count for the second, those that still
    come too, and every question about the first is answered with the second's counts. It is a union by
    event: what both reported becomes a possible duplicate (`needlecap duplicates list`). What that
    changed is listed, with the merge's id, by which `needlecap changes` lists it again.

    The ids are no arguments, since everybody on a machine can read a process's arguments.
    """
    source_id, into_id = read_member_ids(member_ids_file, 2)
    with open_operations(settings) as operations:
        merge = NewMerge(
            merge_id=operations.new_id("mrg"),
            source=MemberRef(payer_id=payer_id, member_id=source_id),
            into=MemberRef(payer_id=payer_id, member_id=into_id),
            merged_by=by,
            reason=reason,
        )

        def work() -> Merged:
            with operations.database.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
                require_payer(tx, payer_id)
                merged = merge_members(
                    tx, operations.rules, operations.clock(), merge, bring_enrollment=bring_enrollment
                )
                with around(Step.MERGE_COMMIT):
                    tx.commit()
            return merged

        with progress_bar("merging", None):
            merged = retrying(work)
            operations.show(merged.images)
        if merged.done_before:
            click.echo("merged before: nothing to do")
            return
        click.echo(f"merged, spans of enrollment brought along: {merged.spans_brought}")
        report = changed_effects(operations, Cause(kind="merge", id=merge.merge_id))
        click.echo(f"changed by merge {merge.merge_id}: members {report.members}")
        for line in report.lines(operations.hash_key, show_members=False):
            click.echo(line)
        click.echo(f"`needlecap changes merge {merge.merge_id}` lists this again, with --show-members by ids")


COMMANDS = (members_group,)
